//! Numbers as people read them.

/// `1,280 B`, `111.6 KiB`, `2.0 MiB`: bytes to the last one as long as they can be taken in.
pub(in crate::leak) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 10 * 1024 {
        return format!("{} B", count(bytes));
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// `1,280`
pub(in crate::leak) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 block`, `20 blocks`
pub(in crate::leak) fn of(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", count(number)),
    }
}

/// Says of amounts that they are estimated by the blocks of bytes so far apart.
pub(in crate::leak) fn estimated(interval: u64) -> String {
    format!(
        "estimates: of every {} of the heap one byte was drawn, and only its block was seen",
        bytes(interval)
    )
}

/// `0.32 ms`, `0.9 ms`, `637 ms`: three digits that say something.
pub(in crate::leak) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => {
            let digits = format!("{ms:.2}");
            format!("{} ms", digits.strip_suffix('0').unwrap_or(&digits))
        }
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

/// `1.2`, `320`: seconds.
pub(in crate::leak) fn seconds(s: f64) -> String {
    match s {
        s if s < 1000.0 => format!("{s:.1}"),
        s => format!("{s:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown() {
        let check = |number, text| assert_eq!(bytes(number), text);
        check(0, "0 B");
        check(1280, "1,280 B");
        check(10_239, "10,239 B");
        check(114_278, "111.6 KiB");
        check(1_048_575, "1.0 MiB");
        check(2 << 20, "2.0 MiB");
        check(u64::MAX, "16777216.0 TiB");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(of(1, "block"), "1 block");
        assert_eq!(of(1000, "block"), "1,000 blocks");
        assert_eq!(millis(0.324), "0.32 ms");
        assert_eq!(millis(637.2), "637 ms");
        assert_eq!(millis(0.9), "0.9 ms");
        assert_eq!(millis(0.0), "0.0 ms");
        assert_eq!(millis(0.9), "0.9 ms");
        assert_eq!(seconds(11.42), "11.4");
    }
}
