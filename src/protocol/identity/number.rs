//! The texts that Java gives to numbers: `BigInteger`, `BigDecimal` and `double`.

/// Whether a text is a number by the grammar of JSON.
pub fn is_json(raw: &str) -> bool {
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    let (mantissa, exponent) = split_exponent(unsigned);
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

fn split_exponent(unsigned: &str) -> (&str, Option<&str>) {
    unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(mantissa, exponent)| (mantissa, Some(exponent)))
}

/// Whether a JSON number is one of Jackson's integers.
pub fn is_integer(raw: &str) -> bool {
    !raw.contains(['.', 'e', 'E'])
}

fn integer(raw: &str) -> String {
    if raw == "-0" { "0".to_owned() } else { raw.to_owned() }
}

/// A JSON number as `BigInteger` or `BigDecimal` prints it; `None` when its exponent is beyond all use.
pub fn decimal(raw: &str) -> Option<String> {
    if is_integer(raw) {
        return Some(integer(raw));
    }
    let (sign, unsigned) = raw.strip_prefix('-').map_or(("", raw), |rest| ("-", rest));
    let (mantissa, exponent) = split_exponent(unsigned);
    let exponent: i64 = exponent.map_or(Some(0), |text| text.parse().ok())?;
    if exponent.abs() > 100_000 {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    let (digits, sign) = if digits.is_empty() { ("0", "") } else { (digits, sign) };
    let scale = i64::try_from(fraction.len()).ok()? - exponent;
    Some(format!("{sign}{}", place_point(digits, scale)?))
}

/// `BigDecimal.toString` for digits that stand `scale` places behind the point.
fn place_point(digits: &str, scale: i64) -> Option<String> {
    if scale == 0 {
        return Some(digits.to_owned());
    }
    let length = i64::try_from(digits.len()).ok()?;
    let adjusted = length - 1 - scale;
    if scale > 0 && adjusted >= -6 {
        return Some(if scale >= length {
            format!("0.{}{digits}", "0".repeat(usize::try_from(scale - length).ok()?))
        } else {
            let (whole, fraction) = digits.split_at(usize::try_from(length - scale).ok()?);
            format!("{whole}.{fraction}")
        });
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    Some(match adjusted {
        0 => format!("{first}{point}{rest}"),
        _ => format!("{first}{point}{rest}E{adjusted:+}"),
    })
}

/// A JSON number as `BigInteger` or `Double.toString` prints it; `None` for what is no finite number.
pub fn double(raw: &str) -> Option<String> {
    if is_integer(raw) {
        return Some(integer(raw));
    }
    let value: f64 = raw.parse().ok()?;
    value.is_finite().then(|| double_text(value))
}

/// Whether every release of Java prints the number alike as a double.
///
/// They differ, or could, beyond 15 digits and far from one.
pub fn is_certain_double(raw: &str) -> bool {
    if is_integer(raw) {
        return true;
    }
    let shortest = raw.parse().map_or(String::new(), |value: f64| format!("{value:e}"));
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return false };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    digits <= 15 && exponent.parse().is_ok_and(|exponent: i32| exponent.abs() <= 20)
}

/// `Double.toString` of a finite number, as releases from 19 on print it: with as few digits as tell it apart.
pub fn double_text(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let shortest = format!("{value:e}");
    match shortest.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}E{exponent}"),
        None => shortest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_json_schemas_keep_their_zeros_and_exponents_are_spelled_as_java_does() {
        for (raw, expected) in [
            ("0.010", "0.010"),
            ("1.0", "1.0"),
            ("1e3", "1E+3"),
            ("1E400", "1E+400"),
            ("-0.0", "0.0"),
            ("-0", "0"),
            ("1.50e-3", "0.00150"),
            ("0.0000001", "1E-7"),
            ("0.00000012", "1.2E-7"),
            ("12.5e3", "1.25E+4"),
            ("12.5e1", "125"),
            ("-7.25", "-7.25"),
            ("0e5", "0E+5"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(decimal(raw).as_deref(), Some(expected), "{raw}");
        }
        assert_eq!(decimal("1e999999999"), None);
    }

    #[test]
    fn fractions_in_avro_are_printed_as_doubles() {
        for (raw, expected) in [
            ("1", "1"),
            ("1.50", "1.5"),
            ("1e10", "1.0E10"),
            ("-0.0", "-0.0"),
            ("1E-7", "1.0E-7"),
            ("0.001", "0.001"),
            ("0.0001", "1.0E-4"),
            ("9999999.0", "9999999.0"),
            ("1e7", "1.0E7"),
            ("1.25e8", "1.25E8"),
            ("123456789012345680", "123456789012345680"),
        ] {
            assert_eq!(double(raw).as_deref(), Some(expected), "{raw}");
        }
    }

    #[test]
    fn a_double_that_some_java_prints_otherwise_is_nobodys_guess() {
        for raw in ["1e400", "1e23", "2.0e-300", "0.1234567890123456789"] {
            assert!(!is_certain_double(raw), "{raw}");
        }
        assert_eq!(double("1e400"), None);
        assert!(is_certain_double("1.25e8") && is_certain_double("123456789012345680"));
    }
}
