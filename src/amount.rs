//! Amounts of memory on the command line.

/// Reads an amount of memory as runc does (docker/go-units, RAMInBytes): a number, perhaps with
/// a fraction, and a binary unit; or -1.
///
/// # Errors
/// What it is not.
pub fn parse(text: &str) -> std::result::Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let wrong = || format!("{text:?} is no amount of memory, as 1073741824, 512M or 1.5GiB");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.');
    let (number, unit) = text.split_at(end.map_or(0, |end| end + 1));
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(wrong()),
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if let Ok(whole) = number.parse::<i64>() {
        let bytes = whole.checked_mul(1 << shift).filter(|_| is_number);
        return bytes.ok_or_else(wrong);
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * (1_i64 << shift) as f64;
    match is_number && bytes < i64::MAX as f64 {
        true => Ok(bytes as i64),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory() {
        for (text, bytes) in [
            ("-1", -1),
            ("0", 0),
            ("4096", 4096),
            ("32k", 32 << 10),
            ("32KB", 32 << 10),
            ("32KiB", 32 << 10),
            ("1 M", 1 << 20),
            ("1.5g", 3 << 29),
            ("2T", 2 << 40),
            ("7b", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "M",
            "-2",
            "1x",
            "1e9",
            "1.2.3",
            "99999999P",
            "nan",
            "1  M",
            "iB",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
