//! With the feature `interop`: builds OpenSSL 4 as the peer of `tests/interop`. Without it: nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "interop")]
    openssl::provide();
}

#[cfg(feature = "interop")]
mod openssl {
    use std::collections::hash_map::DefaultHasher;
    use std::hash::{Hash, Hasher};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    const LIBRARIES: [&str; 2] = ["libssl.a", "libcrypto.a"];

    /// The first three because the source package lacks the files for them, the rest because no test asks for it:
    /// the build takes half the time then.
    const OPTIONS: &str = "no-shared no-module no-legacy \
        no-apps no-tests no-docs no-quic no-dtls no-cms no-cmp no-ts no-ct no-srp no-srtp no-psk no-ocsp no-rfc3779 \
        no-ec2m no-ml-dsa no-slh-dsa no-lms no-camellia no-idea no-seed no-bf no-cast no-rc2 no-rc4 no-md4 no-mdc2 \
        no-rmd160 no-whirlpool no-aria no-siphash no-blake2 no-tls1 no-tls1_1";

    /// Tells the compiler where the libraries are. They lie in the target folder, by version and options: one build
    /// serves all profiles, and is not repeated when something of ours changes.
    pub(super) fn provide() {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
        let target = out.ancestors().nth(4).expect("target/PROFILE/build/gm-HASH/out");
        let mut options = DefaultHasher::new();
        OPTIONS.hash(&mut options);
        let place = target.join(format!("openssl-{}-{:016x}", openssl_src::version(), options.finish()));
        if !place.is_dir() {
            build(&out.join("openssl"), &place);
        }
        println!("cargo::rustc-link-search=native={}", place.display());
    }

    fn build(scratch: &Path, place: &Path) {
        if scratch.exists() {
            fs::remove_dir_all(scratch).expect("removing what an earlier build left");
        }
        fs::create_dir_all(scratch).expect("creating a folder to build in");
        let configure = openssl_src::source_dir().join("Configure");
        run(Command::new("perl").arg(configure).args(OPTIONS.split_whitespace()).current_dir(scratch));
        // Within the number of jobs that cargo gives us.
        let flags = env::var_os("CARGO_MAKEFLAGS").unwrap_or_default();
        run(Command::new("make").arg("build_generated").env("MAKEFLAGS", &flags).current_dir(scratch));
        run(Command::new("make").args(LIBRARIES).env("MAKEFLAGS", &flags).current_dir(scratch));
        // Whoever sees the place sees both libraries whole.
        let whole = scratch.join("whole");
        fs::create_dir(&whole).expect("creating a folder");
        for library in LIBRARIES {
            fs::rename(scratch.join(library), whole.join(library)).expect("moving a library");
        }
        if fs::rename(&whole, place).is_err() {
            assert!(place.is_dir(), "{} cannot be made", place.display());
        }
        fs::remove_dir_all(scratch).expect("removing the build");
    }

    fn run(command: &mut Command) {
        let status = command.status();
        let status = status.unwrap_or_else(|error| {
            panic!("{command:?}: {error} (interop needs perl, make and a C compiler)")
        });
        assert!(status.success(), "{command:?}: {status}");
    }
}
