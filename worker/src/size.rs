//! Sizes for people.

/// Bytes with a fitting unit: `512 B`, `1.5 MiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
pub fn show(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size.abs() >= 1_024.0 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn a_size_has_a_fitting_unit() {
        let shown = [0, 1_023, 1_024, 1_610_612_736, i64::MAX].map(show);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "8388608.0 TiB"]
        );
    }
}
