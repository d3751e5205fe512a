//! The functions of the language and of the dialect that scripts may name: which there are.
//!
//! What they do is in `builtins/`. A function that is not in this list is no part of the compiled language: a script
//! that names it runs in the engine.

macro_rules! natives {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A function of the language or of the dialect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Native {
            $(#[doc = $name] $variant,)*
        }

        impl Native {
            /// The function with this name, `Math.max` or `parseInt`.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

natives! {
    String "String",
    Number "Number",
    Boolean "Boolean",
    BigInt "BigInt",
    BigIntAsIntN "BigInt.asIntN",
    BigIntAsUintN "BigInt.asUintN",
    ParseInt "parseInt",
    ParseFloat "parseFloat",
    IsNan "isNaN",
    IsFinite "isFinite",
    NumberIsInteger "Number.isInteger",
    NumberIsSafeInteger "Number.isSafeInteger",
    NumberIsFinite "Number.isFinite",
    NumberIsNan "Number.isNaN",
    NumberParseInt "Number.parseInt",
    NumberParseFloat "Number.parseFloat",
    StringFromCharCode "String.fromCharCode",
    ArrayIsArray "Array.isArray",
    ArrayFrom "Array.from",
    ArrayOf "Array.of",
    ObjectKeys "Object.keys",
    ObjectValues "Object.values",
    ObjectEntries "Object.entries",
    ObjectAssign "Object.assign",
    ObjectFromEntries "Object.fromEntries",
    ObjectFreeze "Object.freeze",
    ObjectIs "Object.is",
    ObjectHasOwn "Object.hasOwn",
    JsonStringify "JSON.stringify",
    DateNow "Date.now",
    DateParse "Date.parse",
    MathAbs "Math.abs",
    MathAcos "Math.acos",
    MathAsin "Math.asin",
    MathAtan "Math.atan",
    MathAtan2 "Math.atan2",
    MathCbrt "Math.cbrt",
    MathCeil "Math.ceil",
    MathCos "Math.cos",
    MathExp "Math.exp",
    MathFloor "Math.floor",
    MathHypot "Math.hypot",
    MathLog "Math.log",
    MathLog10 "Math.log10",
    MathLog2 "Math.log2",
    MathMax "Math.max",
    MathMin "Math.min",
    MathPow "Math.pow",
    MathRound "Math.round",
    MathSign "Math.sign",
    MathSin "Math.sin",
    MathSqrt "Math.sqrt",
    MathTan "Math.tan",
    MathTrunc "Math.trunc",
    Id "id",
    GetMetadata "getMetadata",
    MetadataFor "metadataFor",
    CreateField "createField",
    Boost "boost",
    TryConvertToNumber "tryConvertToNumber",
    CreateSpatialField "createSpatialField",
    Recurse "recurse",
    Error "Error",
    TypeError "TypeError",
    RangeError "RangeError",
    SyntaxError "SyntaxError",
    ReferenceError "ReferenceError",
    EvalError "EvalError",
    UriError "URIError",
    Load "load()",
    LoadUntracked "noTracking.load()",
}

impl Native {
    /// A number of its own.
    pub const fn number(self) -> u64 {
        1000 + self as u64
    }
}

/// The constants of the language that scripts may name.
pub(super) fn constant(name: &str) -> Option<f64> {
    use std::f64::consts;
    Some(match name {
        "NaN" | "Number.NaN" => f64::NAN,
        "Infinity" | "Number.POSITIVE_INFINITY" => f64::INFINITY,
        "Number.NEGATIVE_INFINITY" => f64::NEG_INFINITY,
        "Number.MAX_SAFE_INTEGER" => 9_007_199_254_740_991.0,
        "Number.MIN_SAFE_INTEGER" => -9_007_199_254_740_991.0,
        "Number.MAX_VALUE" => f64::MAX,
        "Number.MIN_VALUE" => 5e-324,
        "Number.EPSILON" => f64::EPSILON,
        "Math.PI" => consts::PI,
        "Math.E" => consts::E,
        "Math.LN2" => consts::LN_2,
        "Math.LN10" => consts::LN_10,
        "Math.LOG2E" => consts::LOG2_E,
        "Math.LOG10E" => consts::LOG10_E,
        "Math.SQRT2" => consts::SQRT_2,
        "Math.SQRT1_2" => consts::FRAC_1_SQRT_2,
        _ => return None,
    })
}
