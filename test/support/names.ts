/** Names of what is installed, as scenarios spell them. */

/** Where the operator is. */
export const SYSTEM = "tulle-system";
export const OPERATOR = "deployment/tulle-operator";
/** Label of the namespaces of scenarios: a failure keeps their logs, a new run takes away what an aborted one has left. */
export const SCENARIO_LABEL = "e2e.tulle.dev/scenario";
