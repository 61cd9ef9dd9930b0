//! Values of options: words out of a few, lists, times and sizes.

use std::time::Duration;

/// The one of these that a word names.
pub(in crate::cli) fn choose<T: Copy>(
    option: &str,
    text: &str,
    known: &[(&str, T)],
) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!(
            "ltrace: --{option}: `{text}' is none of {}",
            names.join(", ")
        )
    })
}

/// The same; without a word, the usual one.
pub(super) fn word<T: Copy + Default>(
    option: &str,
    text: Option<&str>,
    known: &[(&str, T)],
) -> Result<T, String> {
    text.map_or(Ok(T::default()), |text| choose(option, text, known))
}

/// What the words of a list mean, which commas part.
pub(super) fn each<T>(
    option: &str,
    list: &str,
    one: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match list {
        "" => Err(format!("ltrace: --{option}: the list is empty")),
        _ => list.split(',').map(one).collect(),
    }
}

/// `500ms`, `5s`, `2m`, `1h`; seconds without a unit.
pub(in crate::cli) fn time(option: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("", 1.0),
    ];
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    match parsed {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "ltrace: --{option}: `{text}' is no time; say 500ms, 5s, 2m or 1h"
        )),
    }
}

/// `4096`, `4K`, `1M`, `1G`, and the same with `iB`.
pub(super) fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    const UNITS: [(&str, u64); 7] = [
        ("K", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("", 1),
    ];
    let parsed = UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*bytes)
    });
    match parsed {
        Some(size) => Ok(Some(size)),
        None => Err(format!(
            "ltrace: --{option}: `{text}' is no number; say 4096, 4K, 1M or 1G"
        )),
    }
}
