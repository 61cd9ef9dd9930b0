//! The 80-bit floating-point format of the x87: C's `long double` (Intel SDM vol. 1, 4.2.2).

/// How the exponents are biased, and where the point stands in the mantissa.
const BIAS: i32 = 16383;
const POINT: i32 = 63;

/// The nearest `f64`.
pub fn to_f64(bytes: [u8; 10]) -> f64 {
    let [m0, m1, m2, m3, m4, m5, m6, m7, e0, e1] = bytes;
    let mantissa = u64::from_le_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
    let top = u16::from_le_bytes([e0, e1]);
    let exponent = i32::from(top & 0x7fff);
    let magnitude = if exponent == 0x7fff {
        // The mantissa's top bit is always set: the rest tells infinity from not-a-number.
        if mantissa << 1 == 0 {
            f64::INFINITY
        } else {
            f64::NAN
        }
    } else {
        // In two steps: the power alone may be out of range where the product is not.
        let power = exponent - BIAS - POINT;
        let half = power / 2;
        mantissa as f64 * f64::powi(2.0, half) * f64::powi(2.0, power - half)
    };
    if top & 0x8000 != 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::to_f64;

    #[track_caller]
    fn check(top: u16, mantissa: u64, expected: f64) {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&mantissa.to_le_bytes());
        bytes[8..].copy_from_slice(&top.to_le_bytes());
        assert_eq!(to_f64(bytes).to_bits(), expected.to_bits());
    }

    #[test]
    fn values() {
        check(0x3fff, 1 << 63, 1.0);
        check(0xbfff, 1 << 63, -1.0);
        check(0x4000, 0xc << 60, 3.0);
        check(0x3ffe, 0xc << 60, 0.75);
        check(0, 0, 0.0);
        check(0x8000, 0, -0.0);
        check(0x7fff, 1 << 63, f64::INFINITY);
        check(0xffff, 1 << 63, f64::NEG_INFINITY);
        check(0x7ffe, 1 << 63, f64::INFINITY);
        check(1, 1 << 63, 0.0);
        check(0x3fff + 1000, 1 << 63, 2_f64.powi(1000));
        check(0x3fff - 1000, 1 << 63, 2_f64.powi(-1000));
    }

    #[test]
    fn not_a_number() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x7f;
        assert!(to_f64(bytes).is_nan());
    }
}
