//! The global names an index script may and may not use.

/// Names that begin like this are Magpie's own.
pub(in crate::script) const RESERVED_PREFIX: &str = "__magpie";
/// Counts a step.
pub(in crate::script) const STEP: &str = "__magpie_step";
/// Checks what is about to be iterated or spread.
pub(in crate::script) const ITERATE: &str = "__magpie_iterate";
/// Checks the length of what goes into a constructor.
pub(in crate::script) const LIST: &str = "__magpie_list";
/// An object without properties, read instead of null and undefined.
pub(in crate::script) const NONE: &str = "__magpie_none";
/// Goes along a chain of members again that gave nothing: nothing because something on its way is missing is `null`.
pub(in crate::script) const WAY: &str = "__magpie_way";
/// An object whose properties are all functions that do nothing, for calling methods of null and undefined.
pub(in crate::script) const METHODS: &str = "__magpie_methods";
/// A function that does nothing, called instead of null and undefined.
pub(in crate::script) const NOTHING: &str = "__magpie_nothing";
/// Checks a newly made object or a class's heritage.
pub(in crate::script) const MADE: &str = "__magpie_made";
/// Checks and charges a string or a BigInt that an operator made.
pub(in crate::script) const TEXT: &str = "__magpie_text";
/// `**` for what may be BigInts.
pub(in crate::script) const POWER: &str = "__magpie_power";
/// `<<` for what may be BigInts.
pub(in crate::script) const SHIFT_LEFT: &str = "__magpie_shift_left";
/// `>>` for what may be BigInts.
pub(in crate::script) const SHIFT_RIGHT: &str = "__magpie_shift_right";
/// Compares what may be BigInts; its first argument tells how: 0 `==`, 1 `!=`, 2 `<`, 3 `<=`, 4 `>`, 5 `>=`.
pub(in crate::script) const COMPARE: &str = "__magpie_compare";
/// Registers the function of a Finalize script.
pub(in crate::script) const FINALIZE: &str = "__magpie_finalize";
/// Registers a map function.
pub(in crate::script) const MAP: &str = "map";
/// Begins the reduce.
pub(in crate::script) const GROUP_BY: &str = "groupBy";

/// Reads another document.
pub(in crate::script) const LOAD: &str = "load";
/// Reads a compare-exchange value, in patches and queries.
pub(in crate::script) const COMPARE_EXCHANGE: &str = "cmpxchg";
/// Reads a counter, in patches and queries.
pub(in crate::script) const COUNTER: &str = "counter";
/// Reads a counter as each node of a cluster has it, in scripts of RavenDB's patches and queries.
pub(in crate::script) const COUNTER_RAW: &str = "counterRaw";
/// The functions that patches and queries have besides: they read what an index would not follow the changes of. They are
/// the last parameters of the written program, in this order.
pub(in crate::script) const VALUE_PARAMETERS: [&str; 2] = [COMPARE_EXCHANGE, COUNTER];
/// The object whose `load` does not have the document mapped again when the loaded one changes.
pub(in crate::script) const NO_TRACKING: &str = "noTracking";
/// The constructor of BigInts, which only scripts that name it have.
pub(in crate::script) const BIG_INT: &str = "BigInt";

/// The functions that Magpie gives to scripts, as parameters of the written program, in this order.
pub(in crate::script) const PARAMETERS: [&str; 27] = [
    STEP,
    ITERATE,
    LIST,
    MADE,
    TEXT,
    POWER,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    COMPARE,
    FINALIZE,
    NONE,
    WAY,
    METHODS,
    NOTHING,
    MAP,
    GROUP_BY,
    "id",
    "getMetadata",
    "metadataFor",
    "createField",
    "createSpatialField",
    "boost",
    "tryConvertToNumber",
    "recurse",
    LOAD,
    NO_TRACKING,
    "process",
];

/// Objects and functions of the engine that scripts may use; none of them is ever null.
const ENGINE_OBJECTS: [&str; 35] = [
    "Object",
    "Array",
    "String",
    "Number",
    "Boolean",
    BIG_INT,
    "Math",
    "JSON",
    "Date",
    "RegExp",
    "Map",
    "Set",
    "WeakMap",
    "WeakSet",
    "Symbol",
    "Error",
    "TypeError",
    "RangeError",
    "SyntaxError",
    "ReferenceError",
    "EvalError",
    "URIError",
    "AggregateError",
    "Function",
    "Reflect",
    "Iterator",
    "globalThis",
    "parseInt",
    "parseFloat",
    "isNaN",
    "isFinite",
    "encodeURIComponent",
    "decodeURIComponent",
    "encodeURI",
    "decodeURI",
];

/// Globals that are plain values.
const ENGINE_VALUES: [&str; 3] = ["undefined", "NaN", "Infinity"];

/// Functions of RavenDB's dialect that Magpie does not have yet.
const NOT_YET: [&str; 11] = [
    "cmpxchg",
    "counterNamesFor",
    "timeSeriesNamesFor",
    "attachmentsFor",
    "loadAttachment",
    "loadAttachments",
    "timeSeries",
    "counters",
    "loadVector",
    "createVector",
    "getRevision",
];

/// The functions that patches have besides, as parameters of the written program, in this order.
pub(in crate::script) const PATCH_PARAMETERS: [&str; 7] =
    ["put", "del", "output", "lastModified", "console", "incrementCounter", "deleteCounter"];

/// Functions of RavenDB's patches that Magpie does not have yet. Without this they would read as null and do nothing.
const NOT_YET_IN_PATCHES: [&str; 11] = [
    COUNTER_RAW,
    "timeseries",
    "include",
    "archived",
    "unarchive",
    "spatial",
    "compareDates",
    "toStringWithFormat",
    "convertJsTimeToTimeSpanString",
    "convertToTimeSpanString",
    "scalarToRawString",
];

/// Globals that would break an index's purity or its bounds.
const FORBIDDEN: [&str; 26] = [
    "eval",
    "Promise",
    "Proxy",
    "ArrayBuffer",
    "SharedArrayBuffer",
    "Atomics",
    "DataView",
    "WeakRef",
    "FinalizationRegistry",
    "Int8Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "Int16Array",
    "Uint16Array",
    "Int32Array",
    "Uint32Array",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "BigInt64Array",
    "BigUint64Array",
    "GeneratorFunction",
    "AsyncFunction",
    "Intl",
    "Temporal",
    "WebAssembly",
];

/// Whether a name that the scripts do not declare has a meaning.
pub(in crate::script) fn is_known(name: &str) -> bool {
    (PARAMETERS.contains(&name) && !name.starts_with(RESERVED_PREFIX))
        || ENGINE_VALUES.contains(&name)
        || is_engine_object(name)
}

/// Whether the name is an object or function of the engine, hence never null.
pub(in crate::script) fn is_engine_object(name: &str) -> bool {
    ENGINE_OBJECTS.contains(&name)
}

/// Why a name may not be used, if so.
pub(in crate::script) fn refused(name: &str) -> Option<String> {
    if NOT_YET.contains(&name) {
        return Some(format!(
            "{name}() is not supported yet in an index: put what the index needs into the mapped document, or map the \
             other collection too and join in the reduce"
        ));
    }
    FORBIDDEN.contains(&name).then(|| format!("{name} is not available in an index"))
}

/// Why a name may not be used in a patch, if so.
pub(in crate::script) fn refused_in_patch(name: &str) -> Option<String> {
    if NOT_YET.contains(&name) || NOT_YET_IN_PATCHES.contains(&name) {
        return Some(format!("{name}() is not supported yet in a patch"));
    }
    FORBIDDEN.contains(&name).then(|| format!("{name} is not available in a patch"))
}

/// Which of the engine's globals are taken away from scripts.
pub(in crate::script) const fn forbidden() -> &'static [&'static str] {
    &FORBIDDEN
}
