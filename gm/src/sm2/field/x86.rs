//! Sums and differences of the field, and its two products with MULX and the two carry chains of ADX, where compilers keep to one.
//!
//! Both products compute the whole product in r8..r15, reduce the low half by four steps as `super::reduce` does, add the high
//! half and subtract p once if need be.

use super::{Limbs, P};
use std::arch::asm;
use subtle::Choice;

static PRIME: Limbs = P;

/// That the CPU has MULX, ADCX and ADOX: there is no value of it where it has not.
#[derive(Clone, Copy)]
pub(in super::super) struct Adx(());

impl Adx {
    /// The proof, if it holds.
    #[inline]
    pub(in super::super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("adx")).then_some(Self(()))
    }
}

/// One step of the reduction: clears the lowest limb `$m`, which becomes the highest.
macro_rules! step {
    ($m:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(
            "mov rax, ",
            $m,
            "\n mov rcx, ",
            $m,
            "\n shl rax, 32\n shr rcx, 32\n",
            "add ",
            $a,
            ", ",
            $m,
            "\n adc ",
            $b,
            ", 0\n adc ",
            $c,
            ", 0\n adc ",
            $m,
            ", 0\n",
            "sub ",
            $a,
            ", rax\n sbb ",
            $b,
            ", rcx\n sbb ",
            $c,
            ", rax\n sbb ",
            $m,
            ", rcx\n",
        )
    };
}

/// Adds the halves and takes p off once if the sum is not below it. The result is in r12..r15.
macro_rules! finish {
    () => {
        concat!(
            step!("r8", "r9", "r10", "r11"),
            step!("r9", "r10", "r11", "r8"),
            step!("r10", "r11", "r8", "r9"),
            step!("r11", "r8", "r9", "r10"),
            "xor eax, eax\n",
            "add r12, r8\n adc r13, r9\n adc r14, r10\n adc r15, r11\n adc rax, 0\n",
            "mov r8, r12\n mov r9, r13\n mov r10, r14\n mov r11, r15\n",
            "sub r12, [rdi]\n sbb r13, [rdi + 8]\n sbb r14, [rdi + 16]\n sbb r15, [rdi + 24]\n sbb rax, 0\n",
            "cmovc r12, r8\n cmovc r13, r9\n cmovc r14, r10\n cmovc r15, r11\n",
        )
    };
}

/// One row of the product behind the first: b_i (in rdx) times a, added at `$t0` up to `$t4`, which is new.
macro_rules! row {
    ($t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal) => {
        concat!(
            "xor eax, eax\n",
            "mulx rcx, rax, [rsi]\n adcx ",
            $t0,
            ", rax\n adox ",
            $t1,
            ", rcx\n",
            "mulx rcx, rax, [rsi + 8]\n adcx ",
            $t1,
            ", rax\n adox ",
            $t2,
            ", rcx\n",
            "mulx rcx, rax, [rsi + 16]\n adcx ",
            $t2,
            ", rax\n adox ",
            $t3,
            ", rcx\n",
            "mulx ",
            $t4,
            ", rax, [rsi + 24]\n adcx ",
            $t3,
            ", rax\n",
            "mov eax, 0\n adox ",
            $t4,
            ", rax\n adcx ",
            $t4,
            ", rax\n",
        )
    };
}

/// The Montgomery product.
#[inline(always)]
pub(super) fn multiply(_: Adx, a: &Limbs, b: &Limbs) -> Limbs {
    let (r0, r1, r2, r3);
    // SAFETY: reads the three arrays of four limbs behind the pointers and writes nothing but registers, all of them
    // declared; a value of `Adx` proves MULX, ADCX and ADOX.
    unsafe {
        asm!(
            "mov rdx, [rdi]",
            "mulx r9, r8, [rsi]",
            "mulx r10, rax, [rsi + 8]\n add r9, rax",
            "mulx r11, rax, [rsi + 16]\n adc r10, rax",
            "mulx r12, rax, [rsi + 24]\n adc r11, rax\n adc r12, 0",
            "mov rdx, [rdi + 8]",
            row!("r9", "r10", "r11", "r12", "r13"),
            "mov rdx, [rdi + 16]",
            row!("r10", "r11", "r12", "r13", "r14"),
            "mov rdx, [rdi + 24]",
            row!("r11", "r12", "r13", "r14", "r15"),
            "lea rdi, [rip + {prime}]",
            finish!(),
            prime = sym PRIME,
            inout("rsi") a.as_ptr() => _,
            inout("rdi") b.as_ptr() => _,
            out("rax") _, out("rcx") _, out("rdx") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") r0, out("r13") r1, out("r14") r2, out("r15") r3,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}

/// The Montgomery square.
#[inline(always)]
pub(super) fn square(_: Adx, a: &Limbs) -> Limbs {
    let (r0, r1, r2, r3);
    // SAFETY: as in `multiply`.
    unsafe {
        asm!(
            // The products of different limbs,
            "mov rdx, [rsi]",
            "mulx r10, r9, [rsi + 8]",
            "mulx r11, rax, [rsi + 16]\n add r10, rax",
            "mulx r12, rax, [rsi + 24]\n adc r11, rax\n adc r12, 0",
            "mov rdx, [rsi + 8]",
            "mulx rcx, rax, [rsi + 16]\n add r11, rax\n adc r12, rcx\n mov r13d, 0\n adc r13, 0",
            "mulx rcx, rax, [rsi + 24]\n add r12, rax\n adc r13, rcx",
            "mov rdx, [rsi + 16]",
            "mulx r14, rax, [rsi + 24]\n add r13, rax\n adc r14, 0",
            // twice,
            "xor r15d, r15d",
            "add r9, r9\n adc r10, r10\n adc r11, r11\n adc r12, r12\n adc r13, r13\n adc r14, r14\n adc r15, r15",
            // and the squares of the limbs.
            "mov rdx, [rsi]\n mulx rcx, r8, rdx\n add r9, rcx",
            "mov rdx, [rsi + 8]\n mulx rcx, rax, rdx\n adc r10, rax\n adc r11, rcx",
            "mov rdx, [rsi + 16]\n mulx rcx, rax, rdx\n adc r12, rax\n adc r13, rcx",
            "mov rdx, [rsi + 24]\n mulx rcx, rax, rdx\n adc r14, rax\n adc r15, rcx",
            "lea rdi, [rip + {prime}]",
            finish!(),
            prime = sym PRIME,
            inout("rsi") a.as_ptr() => _,
            out("rdi") _,
            out("rax") _, out("rcx") _, out("rdx") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") r0, out("r13") r1, out("r14") r2, out("r15") r3,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}

/// The sum modulo p. (Compilers turn additions of constants back into comparisons and lose the carry chain.)
#[inline]
pub(super) fn add(a: &Limbs, b: &Limbs) -> Limbs {
    let (r0, r1, r2, r3): (u64, u64, u64, u64);
    // SAFETY: reads the three arrays of four limbs and writes only the declared registers; no special instructions.
    unsafe {
        asm!(
            "mov {r0}, [{a}]\n mov {r1}, [{a} + 8]\n mov {r2}, [{a} + 16]\n mov {r3}, [{a} + 24]",
            "add {r0}, [{b}]\n adc {r1}, [{b} + 8]\n adc {r2}, [{b} + 16]\n adc {r3}, [{b} + 24]",
            "mov {carry:e}, 0\n adc {carry}, 0",
            "mov {t0}, {r0}\n mov {t1}, {r1}\n mov {t2}, {r2}\n mov {t3}, {r3}",
            "sub {r0}, -1\n sbb {r1}, [rip + {prime} + 8]\n sbb {r2}, -1\n sbb {r3}, [rip + {prime} + 24]",
            "sbb {carry}, 0",
            "cmovc {r0}, {t0}\n cmovc {r1}, {t1}\n cmovc {r2}, {t2}\n cmovc {r3}, {t3}",
            prime = sym PRIME,
            a = in(reg) a.as_ptr(), b = in(reg) b.as_ptr(),
            r0 = out(reg) r0, r1 = out(reg) r1, r2 = out(reg) r2, r3 = out(reg) r3,
            t0 = out(reg) _, t1 = out(reg) _, t2 = out(reg) _, t3 = out(reg) _,
            carry = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}

/// Half modulo p: of an odd number, half of the sum with p.
#[inline]
pub(super) fn half(a: &Limbs) -> Limbs {
    let (r0, r1, r2, r3): (u64, u64, u64, u64);
    // SAFETY: reads the array of four limbs and writes only the declared registers; no special instructions.
    unsafe {
        asm!(
            "mov {r0}, [{a}]\n mov {r1}, [{a} + 8]\n mov {r2}, [{a} + 16]\n mov {r3}, [{a} + 24]",
            // p under a mask of the lowest bit, as in `sub`.
            "mov {mask:e}, 1\n and {mask}, {r0}\n neg {mask}",
            "mov {p1}, {mask}\n shl {p1}, 32\n mov {p3}, {mask}\n btr {p3}, 32",
            "add {r0}, {mask}\n adc {r1}, {p1}\n adc {r2}, {mask}\n adc {r3}, {p3}",
            "rcr {r3}, 1\n rcr {r2}, 1\n rcr {r1}, 1\n rcr {r0}, 1",
            a = in(reg) a.as_ptr(),
            r0 = out(reg) r0, r1 = out(reg) r1, r2 = out(reg) r2, r3 = out(reg) r3,
            p1 = out(reg) _, p3 = out(reg) _, mask = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}

/// The difference modulo p.
#[inline]
pub(super) fn sub(a: &Limbs, b: &Limbs) -> Limbs {
    let (r0, r1, r2, r3): (u64, u64, u64, u64);
    // SAFETY: reads both arrays of four limbs and writes only the declared registers; no special instructions.
    unsafe {
        asm!(
            "mov {r0}, [{a}]\n mov {r1}, [{a} + 8]\n mov {r2}, [{a} + 16]\n mov {r3}, [{a} + 24]",
            "sub {r0}, [{b}]\n sbb {r1}, [{b} + 8]\n sbb {r2}, [{b} + 16]\n sbb {r3}, [{b} + 24]",
            // p under a mask of the borrow: its limbs 0 and 2 are all ones, limb 1 the upper half, limb 3 lacks bit 32.
            "sbb {mask}, {mask}",
            "mov {p1}, {mask}\n shl {p1}, 32\n mov {p3}, {mask}\n btr {p3}, 32",
            "add {r0}, {mask}\n adc {r1}, {p1}\n adc {r2}, {mask}\n adc {r3}, {p3}",
            a = in(reg) a.as_ptr(), b = in(reg) b.as_ptr(),
            r0 = out(reg) r0, r1 = out(reg) r1, r2 = out(reg) r2, r3 = out(reg) r3,
            p1 = out(reg) _, p3 = out(reg) _, mask = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}

/// `b` if `choice`, else `a`, by conditional moves of 8 bytes: wider reads would wait for the writes of 8 bytes before them.
#[inline(always)]
pub(super) fn select(a: &Limbs, b: &Limbs, choice: Choice) -> Limbs {
    let (r0, r1, r2, r3): (u64, u64, u64, u64);
    // SAFETY: reads both arrays of four limbs whatever the choice, writes only the declared registers; no special
    // instructions.
    unsafe {
        asm!(
            "mov {r0}, [{a}]\n mov {r1}, [{a} + 8]\n mov {r2}, [{a} + 16]\n mov {r3}, [{a} + 24]",
            "test {choice:e}, {choice:e}",
            "cmovnz {r0}, [{b}]\n cmovnz {r1}, [{b} + 8]\n cmovnz {r2}, [{b} + 16]\n cmovnz {r3}, [{b} + 24]",
            a = in(reg) a.as_ptr(), b = in(reg) b.as_ptr(), choice = in(reg) u32::from(choice.unwrap_u8()),
            r0 = out(reg) r0, r1 = out(reg) r1, r2 = out(reg) r2, r3 = out(reg) r3,
            options(pure, readonly, nostack),
        );
    }
    [r0, r1, r2, r3]
}
