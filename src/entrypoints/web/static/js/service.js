/** What is known of the service and of its visitor: learned before the first view is shown. */

/** @typedef {"keyword" | "integer" | "float" | "bool" | "datetime"} Type */

export const service = {
  detector: true,
  role: "admin",
  maxUploadBytes: Number.POSITIVE_INFINITY,
  /** The declared metadata keys. @type {Record<string, Type>} */
  types: {},
};

/** Whether the visitor may change anything. */
export const mayChange = () => service.role !== "read";

/** What a metadata key is declared as, or null. @param {string} key @returns {Type | null} */
export const typeOf = (key) => (Object.hasOwn(service.types, key) ? service.types[key] : null);

/** The metadata keys that are declared as one of these. @param {...Type} types */
export const declared = (...types) => Object.keys(service.types).filter((key) => types.includes(service.types[key]));
