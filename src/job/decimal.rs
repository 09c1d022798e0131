//! Numbers of JSON, compared exactly and however they are written: `1`, `1.0` and `10e-1` are equal.

/// A number, as the digits that count and the power of ten of the last one.
#[derive(Debug, Clone, Copy)]
pub struct Decimal<'a> {
    is_negative: bool,
    /// The digits before and after the point, without zeros at the beginning of the number and at its end. Both are
    /// empty for zero.
    digits: [&'a str; 2],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a number; `None` for other texts, and if the exponent is beyond all measure.
    pub fn parse(text: &'a str) -> Option<Decimal<'a>> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, part) = match mantissa.split_once('.') {
            Some((whole, part)) => (whole, Some(part)),
            None => (mantissa, None),
        };
        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !is_number(whole) || has_leading_zero || !part.is_none_or(is_number) || !is_number(power)
        {
            return None;
        }
        let part = part.unwrap_or_default().trim_end_matches('0');
        let (whole, zeros) = if part.is_empty() {
            let trimmed = whole.trim_end_matches('0');
            (trimmed, whole.len() - trimmed.len())
        } else {
            (whole, 0)
        };
        let whole = whole.trim_start_matches('0');
        let fraction = part.len();
        let part = if whole.is_empty() { part.trim_start_matches('0') } else { part };
        if whole.is_empty() && part.is_empty() {
            return Some(Decimal { is_negative: false, digits: [whole, part], exponent: 0 });
        }
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction).ok()?)?;
        let exponent = exponent.checked_add(i64::try_from(zeros).ok()?)?;
        Some(Decimal { is_negative, digits: [whole, part], exponent })
    }

    /// The digits before and after the point, one after the other.
    fn all_digits(self) -> impl Iterator<Item = u8> + use<'a> {
        let [whole, part] = self.digits;
        whole.bytes().chain(part.bytes())
    }

    /// The value, if it is a whole number that fits.
    pub fn to_integer(self) -> Option<i64> {
        let power = 10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let size = self.all_digits().try_fold(0_i128, |size, digit| {
            size.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        });
        let size = size?.checked_mul(power)?;
        i64::try_from(if self.is_negative { -size } else { size }).ok()
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is_negative == other.is_negative
            && self.exponent == other.exponent
            && self.all_digits().eq(other.all_digits())
    }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        for all in [
            &["1", "1.0", "1e0", "1E+0", "10e-1", "0.1e1", "0.01e2", "1.000"][..],
            &["0", "-0", "0.0", "0e9", "-0.00E-5"],
            &["-1.5", "-15e-1", "-1.50"],
            &["100", "1e2", "1.00e2", "100.0"],
            &["12345678901234567890", "12345678901234567890.0", "1234567890123456789e1"],
            &["1e400", "1E400", "10e399"],
            &["0.001", "1e-3", "0.0010"],
        ] {
            for (one, other) in all.iter().flat_map(|one| all.iter().map(move |it| (one, it))) {
                assert_eq!(Decimal::parse(one).unwrap(), Decimal::parse(other).unwrap());
            }
        }
    }

    #[test]
    fn numbers_that_differ_in_any_digit_are_not_equal() {
        for (one, other) in [
            ("1", "-1"),
            ("1", "10"),
            ("101", "11"),
            ("1.01", "1.1"),
            ("9007199254740993", "9007199254740992.0"),
            ("0.1", "0.1000000000000000055"),
            ("1e400", "1e401"),
        ] {
            assert_ne!(Decimal::parse(one).unwrap(), Decimal::parse(other).unwrap(), "{one}");
        }
        for no in
            ["", "-", "+1", ".5", "1.", "01", "1e", "1e+", "1e99999999999999999999", "0x1", "٣"]
        {
            assert!(Decimal::parse(no).is_none(), "{no}");
        }
    }
}
