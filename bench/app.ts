/** The application: nginx, one worker. It answers 1 KB at `/`, a large file at `/large`, and swallows what is sent to `/sink`. */
import { APP_PORT, SERVER_IP } from "./addresses.ts";

const BODY = "x".repeat(1024);
/** In the folder that the application serves. */
export const LARGE_FILE = "large";

/** `folder` takes its temporary files, `files` is what it serves. */
export function appConfig(folder: string, files: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${folder}/app-${kind};`)
    .join("\n");
  return `user root;
worker_processes 1;
worker_rlimit_nofile 100000;
daemon off;
pid ${folder}/app.pid;
error_log stderr;
events { worker_connections 30000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  sendfile on;
  tcp_nodelay on;
  client_max_body_size 0;
${temporary}
  server {
    listen ${SERVER_IP}:${APP_PORT} backlog=16384;
    root ${files};
    location = / { default_type application/json; return 200 "${BODY}"; }
    location = /sink { return 200; }
    location / { open_file_cache max=10; }
  }
}
`;
}
