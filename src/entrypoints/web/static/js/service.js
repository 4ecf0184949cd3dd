/** What is known of the service and of its visitor: learned before the first view is shown. */

/** @typedef {"keyword" | "integer" | "float" | "bool" | "datetime"} Type */

export const service = {
  detector: true,
  role: "admin",
  maxUploadBytes: Number.POSITIVE_INFINITY,
  /** Whether it fetches pictures by their URLs. */
  fetching: false,
  /** The declared metadata keys. @type {Record<string, Type>} */
  types: {},
};

/** Whether the visitor may change anything. */
export const mayChange = () => service.role !== "read";

/** Why nothing can be added from the web here, or "". */
export const whyNotFetched = () =>
  service.fetching ? "" : "This service does not fetch pictures from the web: its operator allows it with LOOKALIKE_FETCH__ENABLED=true. Or use the command line: lookalike import.";

/** What a metadata key is declared as, or null. @param {string} key @returns {Type | null} */
export const typeOf = (key) => (Object.hasOwn(service.types, key) ? service.types[key] : null);

/** The metadata keys that are declared as one of these. @param {...Type} types */
export const declared = (...types) => Object.keys(service.types).filter((key) => types.includes(service.types[key]));
