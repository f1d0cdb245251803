-- wrk: prints what it counted as one line of JSON, times in microseconds. With PAUSE_MS=M each connection waits a random
-- 1..2M-1 ms before a request, so that requests come spread and not as fast as answers do.
local pause = tonumber(os.getenv("PAUSE_MS"))
if pause then
  function delay() return math.random(1, 2 * pause - 1) end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"micros":%d,"p50":%d,"p90":%d,"p99":%d,"max":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
