//! The little DER that signatures, keys and ciphertexts need, strict: one encoding for one value.

/// Takes one element with the tag off the front: its contents.
pub(crate) fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&a, rest)| (usize::from(a), rest))?,
        0x82 => rest.split_first_chunk().map(|(&ab, rest)| (usize::from(u16::from_be_bytes(ab)), rest))?,
        0x83 => {
            let (&[a, b, c], rest) = rest.split_first_chunk()?;
            (u32::from_be_bytes([0, a, b, c]) as usize, rest)
        }
        _ => return None,
    };
    let shortest = match first {
        0x81 => length >= 0x80,
        0x82 => length >= 0x100,
        0x83 => length >= 0x1_0000,
        _ => true,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    *input = rest;
    (found == tag && shortest).then_some(contents)
}

/// A non-negative INTEGER of at most 32 bytes.
pub(crate) fn take_number(input: &mut &[u8]) -> Option<[u8; 32]> {
    let contents = take(input, 2)?;
    let digits = match contents {
        [0, second, ..] if *second < 0x80 => return None,
        [0, digits @ ..] => digits,
        [first, ..] if *first < 0x80 => contents,
        _ => return None,
    };
    let mut number = [0; 32];
    let start = number.len().checked_sub(digits.len())?;
    number[start..].copy_from_slice(digits);
    Some(number)
}

/// Appends an element.
pub(crate) fn put(output: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    output.push(tag);
    let [_, _, _, _, _, a, b, c] = (contents.len() as u64).to_be_bytes();
    match contents.len() {
        0..0x80 => output.push(c),
        0x80..0x100 => output.extend([0x81, c]),
        0x100..0x1_0000 => output.extend([0x82, b, c]),
        _ => output.extend([0x83, a, b, c]),
    }
    output.extend(contents);
}

/// An element with the tag around the parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, tag, &parts.concat());
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, parts)
}

/// Appends a non-negative INTEGER.
pub(crate) fn put_number(output: &mut Vec<u8>, number: &[u8; 32]) {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count().min(31);
    let mut contents = vec![0];
    contents.extend(&number[zeros..]);
    let signless = if contents[1] < 0x80 { &contents[1..] } else { &contents[..] };
    put(output, 2, signless);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_of_a_number_is_taken() {
        let taken = |bytes: &[u8]| take_number(&mut &bytes[..]);
        assert_eq!(taken(&[2, 1, 0]), Some([0; 32]));
        assert_eq!(taken(&[2, 2, 0, 0x80]).map(|n| n[31]), Some(0x80));
        for bad in [&[2, 1, 0x80][..], &[2, 2, 0, 1], &[2, 0], &[2, 1], &[3, 1, 1], &[2, 0x81, 1, 1], &[]] {
            assert_eq!(taken(bad), None, "{bad:x?}");
        }
        assert_eq!(taken(&[&[2, 34, 0, 0x80], &[0; 32][..]].concat()), None);
    }

    #[test]
    fn what_is_put_is_taken() {
        for len in [0, 1, 127, 128, 255, 256, 65535, 65536, 70000] {
            let mut out = Vec::new();
            put(&mut out, 4, &vec![7; len]);
            let mut rest = &out[..];
            assert_eq!(take(&mut rest, 4), Some(&vec![7; len][..]));
            assert!(rest.is_empty());
        }
    }
}
