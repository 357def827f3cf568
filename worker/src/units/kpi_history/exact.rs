//! Exact sums of doubles: independent of order, so a resume, another worker or another database gives the same bits,
//! and differences of prefix sums lose nothing.

use num_bigint::BigInt;

/// Every finite double is a whole multiple of 2^-1074.
const UNIT_EXPONENT: i32 = -1074;

/// A sum of doubles, kept as a whole number of units of 2^-1074.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(BigInt);

impl Sum {
    /// Adds a finite double.
    pub(super) fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let biased = (bits >> 52) & 0x7ff;
        // Subnormal numbers have no leading one, and the exponent of the smallest normal ones.
        let (mantissa, shift) = match biased {
            0 => (fraction, 0),
            _ => (fraction | (1 << 52), biased - 1),
        };
        let magnitude = BigInt::from(mantissa) << shift;
        if value.is_sign_negative() {
            self.0 -= magnitude;
        } else {
            self.0 += magnitude;
        }
    }

    /// Adds another sum.
    pub(super) fn add_sum(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// What this sum has more than an earlier one.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self(&self.0 - &earlier.0)
    }

    /// The nearest double, ties to even; infinite where none is near.
    pub(super) fn to_f64(&self) -> f64 {
        let bits = self.0.bits();
        // 64 leading bits, the last of them standing for all that is cut off: enough to round rightly.
        let cut = bits.saturating_sub(64);
        let kept: BigInt = self.0.magnitude().clone().into();
        let mut leading = u64::try_from(&kept >> cut).unwrap_or(u64::MAX);
        if (BigInt::from(leading) << cut) != kept {
            leading |= 1;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "rounding to the nearest double is what this is for"
        )]
        let mut value = leading as f64;
        let exponent = i32::try_from(cut).unwrap_or(i32::MAX) + UNIT_EXPONENT;
        // In two steps: 2^-1074 itself is the smallest double, and the exponent may be as large as 1,000.
        value *= 2f64.powi(exponent / 2);
        value *= 2f64.powi(exponent - exponent / 2);
        if self.0.sign() == num_bigint::Sign::Minus {
            -value
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn sums_what_floating_point_would_lose() {
        let mut sum = Sum::default();
        for value in [1e300, 1.0, -1e300, 0.1, 0.2, -0.3, 5e-324] {
            sum.add(value);
        }
        let mut expected = Sum::default();
        expected.add(1.0);
        expected.add(0.1);
        expected.add(0.2);
        expected.add(-0.3);
        expected.add(5e-324);
        assert_eq!(sum, expected);
        assert!((sum.to_f64() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_single_double_comes_back_to_the_bit() {
        for value in [
            0.0,
            1.0,
            -2.5,
            0.1,
            123_456.789,
            1e-10,
            f64::MIN_POSITIVE,
            f64::MAX,
            -f64::MAX,
        ] {
            let mut sum = Sum::default();
            sum.add(value);
            assert_eq!(sum.to_f64().to_bits(), value.to_bits(), "{value}");
        }
    }

    #[test]
    fn more_than_the_largest_double_is_infinite() {
        let mut sum = Sum::default();
        sum.add(f64::MAX);
        sum.add(f64::MAX);
        assert!(sum.to_f64().is_infinite());
    }
}
