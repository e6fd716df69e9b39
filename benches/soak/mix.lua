-- Mixed traffic for wrk: good, forged, unsigned, broken and unknown requests in turn, a few thousand a second.
-- wrk -s mix.lua URL -- BODY GOOD_HEADERS BAD_HEADERS

local threads = {}
local requests, turn = {}, 0

function setup(thread)
  table.insert(threads, thread)
end

local function read(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function headers(name, without)
  local fields = {}
  for line in io.lines(name) do
    local field, value = line:match("^([^:]+): (.*)$")
    if field and field:lower() ~= without then fields[field] = value end
  end
  return fields
end

function init(args)
  local body = read(args[1])
  local good, bad = headers(args[2]), headers(args[3])
  local path = wrk.path
  requests = {
    wrk.format("POST", path, good, body),
    wrk.format("POST", path, good, body),
    wrk.format("POST", path, good, body),
    wrk.format("POST", path, bad, body),
    wrk.format("POST", path, headers(args[2], "x-hub-signature-256"), body),
    wrk.format("POST", path, good, body .. " "),
    wrk.format("POST", path .. "/unknown", good, "{}"),
    wrk.format("GET", path, good),
  }
  counts = ""
  seen = {}
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function delay()
  return 1
end

function response(status)
  seen[status] = (seen[status] or 0) + 1
  counts = ""
  for code, count in pairs(seen) do counts = counts .. code .. "=" .. count .. " " end
end

function done(summary)
  for _, thread in ipairs(threads) do io.write("statuses: ", thread:get("counts"), "\n") end
  local e = summary.errors
  io.write(string.format("requests %d, errors: connect %d read %d write %d timeout %d\n", summary.requests, e.connect, e.read, e.write, e.timeout))
end
