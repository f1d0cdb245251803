/** Where things are on every stage: the same for each pair, since each has namespaces of its own. */

export const CLIENT_IP = "10.250.77.1";
export const SERVER_IP = "10.250.77.2";
/** Both of them. */
export const POD_RANGE = "10.250.77.0/24";
export const APP_PORT = 8080;
export const APP_URL = `http://${SERVER_IP}:${APP_PORT}/`;
