/** Names of what is installed, as scenarios spell them. */

/** Where the operator is. */
export const SYSTEM = "tulle-system";
export const OPERATOR = "deployment/tulle-operator";
