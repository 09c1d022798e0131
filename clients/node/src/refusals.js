// Which refusals a worker gives up on when it connects for the first time: those that will not go away by themselves.

const FATAL_STATUSES = new Set([400, 401, 403, 404, 405, 413, 415, 421, 422, 426]);
const FATAL_CODES = new Set(["forbidden", "invalid_fields", "invalid_parameter", "malformed_message", "unauthorized", "unknown_subprotocol"]);

/** @param {import("./errors.js").CortadoError} error */
export function isFatal(error) {
  return FATAL_STATUSES.has(error.status) || FATAL_CODES.has(error.code);
}
