-- Shows Nark in Wireshark and tshark: the datagrams of ADUs (docs/wire.md, 5 to 8) and
-- the messages of relays (docs/relay.md). For people; it checks no signature.
--
--   tshark -X lua_script:deploy/wireshark/nark.lua -i lo -f udp
--   wireshark -X lua_script:deploy/wireshark/nark.lua, or copy it into the folder
--   "Personal Lua Plugins" (Help, About, Folders)
--
-- Datagrams are known by their first bytes. Where those are damaged: Decode As, or the
-- preference nark.ports.

local nark = Proto("nark", "Nark ADU datagram")
local relay = Proto("nark_relay", "Nark relay message")

local PREFIX_BYTES = 28
local CORE_BYTES = 73 -- without clear map
local SIGNATURE_BYTES = 64

local kinds = { [1] = "header", [2] = "source", [3] = "parity", [4] = "hashes", [5] = "whole" }
local ciphers = {
  [1] = "aes-128-gcm", [2] = "aes-256-gcm", [3] = "chacha20-poly1305", [4] = "chameleon",
  [5] = "des-cbc",
}
local authentications = { [1] = "single", [2] = "batch" }

local f = {
  -- the prefix
  magic = ProtoField.string("nark.magic", "Magic"),
  version = ProtoField.uint8("nark.version", "Version"),
  kind = ProtoField.uint8("nark.kind", "Kind", base.DEC, kinds),
  tag = ProtoField.uint64("nark.tag", "Session tag", base.HEX),
  sender = ProtoField.uint32("nark.sender", "Sender id"),
  adu = ProtoField.uint64("nark.adu", "ADU id"),
  index = ProtoField.uint32("nark.index", "Index"),
  -- payloads
  source = ProtoField.bytes("nark.source", "Source fragment"),
  parity = ProtoField.bytes("nark.parity", "Parity fragment"),
  page_hash = ProtoField.bytes("nark.page.hash", "Hash"),
  ciphertext = ProtoField.bytes("nark.ciphertext", "Ciphertext"),
  signed_bytes = ProtoField.uint16("nark.signed_header_bytes", "Signed header bytes"),
  header_bytes = ProtoField.uint16("nark.header_bytes", "Header bytes"),
  -- the header
  h_version = ProtoField.uint8("nark.header.version", "Header version"),
  h_flags = ProtoField.uint8("nark.header.flags", "Flags", base.HEX),
  h_random_access = ProtoField.bool("nark.header.random_access", "Random access point", 8, nil, 0x01),
  h_reserved = ProtoField.uint8("nark.header.flags.reserved", "Reserved", base.HEX, nil, 0xfe),
  h_cipher = ProtoField.uint8("nark.header.cipher", "Cipher", base.DEC, ciphers),
  h_hash = ProtoField.uint8("nark.header.fragment_hash", "Fragment hash", base.DEC,
    { [1] = "SHA-256, 16 bytes" }),
  h_tag = ProtoField.uint64("nark.header.tag", "Session tag", base.HEX),
  h_sender = ProtoField.uint32("nark.header.sender", "Sender id"),
  h_adu = ProtoField.uint64("nark.header.adu", "ADU id"),
  h_time = ProtoField.uint64("nark.header.signed_time", "Signed time, us"),
  h_deadline = ProtoField.uint64("nark.header.deadline", "Deadline, us"),
  h_plaintext = ProtoField.uint32("nark.header.plaintext_bytes", "Plaintext bytes"),
  h_ciphertext = ProtoField.uint32("nark.header.ciphertext_bytes", "Ciphertext bytes"),
  h_fragment = ProtoField.uint16("nark.header.fragment_bytes", "Fragment bytes"),
  h_sources = ProtoField.uint16("nark.header.source_fragments", "Source fragments"),
  h_parities = ProtoField.uint16("nark.header.parity_fragments", "Parity fragments"),
  h_fresh = ProtoField.bytes("nark.header.fresh", "Fresh bytes"),
  h_control_bytes = ProtoField.uint16("nark.header.control_block_bytes", "Control block bytes"),
  h_clear_entries = ProtoField.uint8("nark.header.clear_entries", "Clear map entries"),
  h_clear = ProtoField.none("nark.header.clear", "Clear range"),
  h_clear_offset = ProtoField.uint32("nark.header.clear.offset", "Offset"),
  h_clear_length = ProtoField.uint32("nark.header.clear.length", "Length"),
  h_clear_phase = ProtoField.uint8("nark.header.clear.phase", "First packet at"),
  h_clear_pids = ProtoField.uint8("nark.header.clear.pid_count", "Encrypted PIDs"),
  h_clear_pid = ProtoField.uint16("nark.header.clear.pid", "Encrypted PID", base.HEX),
  h_clear_encrypted = ProtoField.uint32("nark.header.clear.encrypted_bytes", "Encrypted bytes"),
  h_control = ProtoField.bytes("nark.header.control_block", "Control block (encrypted)"),
  h_hash_count = ProtoField.uint16("nark.header.hash_count", "Hash count"),
  h_hashes = ProtoField.bytes("nark.header.hash", "Hash"),
  -- its authentication
  a_form = ProtoField.uint8("nark.authentication.form", "Form", base.DEC, authentications),
  a_index = ProtoField.uint16("nark.authentication.index", "Place in the batch"),
  a_count = ProtoField.uint16("nark.authentication.count", "Headers in the batch"),
  a_path_length = ProtoField.uint8("nark.authentication.path_length", "Path length"),
  a_path = ProtoField.bytes("nark.authentication.path", "Path"),
  a_signature = ProtoField.bytes("nark.authentication.signature", "Signature"),
}
nark.fields = {}
for _, field in pairs(f) do table.insert(nark.fields, field) end

local e = {
  malformed = ProtoExpert.new("nark.malformed", "Malformed", expert.group.MALFORMED,
    expert.severity.ERROR),
  contradiction = ProtoExpert.new("nark.contradiction", "Refused by every parser",
    expert.group.PROTOCOL, expert.severity.WARN),
}
nark.experts = { e.malformed, e.contradiction }
nark.prefs.ports = Pref.range("UDP ports", "", "Ports on which everything is taken for Nark", 65535)

-- What is being dissected, and how far it has come. Once something was missing it has
-- failed, and gives nothing more.
local function reader(tvb, from, to, tree)
  local self = { at = from, to = to, failed = false }
  function self.left() return self.to - self.at end
  function self.fail(what)
    if not self.failed then tree:add_proto_expert_info(e.malformed, what) end
    self.failed = true
  end
  -- The range of the next bytes; nil where they are missing.
  function self.take(count, name)
    if self.failed then return nil end
    if count > self.left() then
      self.fail(string.format("%s: %d bytes are wanted, %d are left", name, count, self.left()))
      return nil
    end
    local range = tvb:range(self.at, count)
    self.at = self.at + count
    return range
  end
  -- Adds a field of fixed size; returns its range and item.
  function self.add(field, count, name, to_tree)
    local range = self.take(count, name)
    if not range then return nil end
    return range, (to_tree or tree):add(field, range)
  end
  -- The same where there may be none.
  function self.add_bytes(field, count, name)
    if count == 0 then return nil end
    return self.add(field, count, name)
  end
  return self
end

local function add_time(read, field, name)
  local range, item = read.add(field, 8, name)
  if not range then return nil end
  local us = range:uint64()
  if us > UInt64(0) then
    item:append_text(" (" .. format_date(us:tonumber() / 1e6) .. ")")
  end
  return us
end

-- How many hashes stand in the header: the topmost level (docs/wire.md, 7).
local function top_level(fragments, fragment_bytes)
  local most = math.min(48, math.floor(fragment_bytes / 32))
  local page = math.floor(fragment_bytes / 16)
  while fragments > most do fragments = math.ceil(fragments / page) end
  return fragments
end

local function check_sizes(h, contradict)
  if h.plaintext < 1 or h.plaintext > 16 * 1024 * 1024 then contradict("plaintext bytes") end
  if h.ciphertext < h.plaintext or h.ciphertext > h.plaintext + 256 then
    contradict("ciphertext bytes do not fit the plaintext's")
  end
  if h.fragment % 16 ~= 0 or h.fragment < 512 then
    contradict("fragment bytes")
    return
  end
  if h.sources ~= math.ceil(h.ciphertext / h.fragment) then contradict("source fragments") end
  if h.parities > h.sources then contradict("more parity than source fragments") end
  local fragments = h.sources + h.parities
  if fragments < 1 or fragments > 65535 then contradict("fragments in all") end
  if h.control < 96 or h.control > 272 then contradict("control block bytes") end
  if fragments >= 1 and h.hashes ~= top_level(fragments, h.fragment) then
    contradict("hash count")
  end
end

-- Clear is all but what some packets of a transport stream carry (docs/wire.md, 6).
local function add_packet_rule(read, h, contradict)
  local phase = read.add(f.h_clear_phase, 1, "phase")
  local count = read.add(f.h_clear_pids, 1, "number of PIDs")
  if not count then return end
  if count:uint() > 8 then return read.fail("more than 8 PIDs") end
  local wrong = phase:uint() > 187 or count:uint() < 1
  local last = 0x000f
  for _ = 1, count:uint() do
    local pid = read.add(f.h_clear_pid, 2, "PID")
    if not pid then return end
    wrong = wrong or pid:uint() <= last or pid:uint() > 0x1ffe
    last = pid:uint()
  end
  local encrypted = read.add(f.h_clear_encrypted, 4, "encrypted bytes")
  if not encrypted then return end
  wrong = wrong or encrypted:uint() < 1 or encrypted:uint() > h.plaintext
  if wrong then contradict("clear map") end
end

local function add_clear_map(read, tree, h, contradict)
  local range = read.add(f.h_clear_entries, 1, "clear map entries")
  if not range then return end
  local entries = range:uint()
  if entries == 255 then return add_packet_rule(read, h, contradict) end
  if entries > 32 then return read.fail("more than 32 clear ranges") end
  local ends, clear = 0, 0
  for _ = 1, entries do
    local entry = read.take(8, "clear map")
    if not entry then return end
    local offset, length = entry:range(0, 4):uint(), entry:range(4, 4):uint()
    local item = tree:add(f.h_clear, entry)
    item:append_text(string.format(": %d bytes from %d", length, offset))
    item:add(f.h_clear_offset, entry:range(0, 4))
    item:add(f.h_clear_length, entry:range(4, 4))
    if length < 1 or offset < ends or offset + length > h.plaintext then
      contradict("clear map")
    end
    ends = offset + length
    clear = clear + length
  end
  if entries > 0 and clear >= h.plaintext then contradict("clear map leaves nothing encrypted") end
end

-- How many siblings lead from a leaf to the root (RFC 6962, 2.1).
local function path_length(index, count)
  local length, last = 0, count - 1
  while last > 0 do
    if index % 2 == 1 or index < last then length = length + 1 end
    index, last = math.floor(index / 2), math.floor(last / 2)
  end
  return length
end

local function add_authentication(tvb, from, to, parent)
  local tree = parent:add(nark, tvb:range(from, to - from), "Authentication")
  local read = reader(tvb, from, to, tree)
  local range = read.add(f.a_form, 1, "authentication form")
  if not range then return end
  local form = range:uint()
  if form == 2 then
    local index = read.add(f.a_index, 2, "place in the batch")
    local count = read.add(f.a_count, 2, "headers in the batch")
    local length = read.add(f.a_path_length, 1, "path length")
    if not length then return end
    if count:uint() < 1 or count:uint() > 1024 or index:uint() >= count:uint() then
      tree:add_proto_expert_info(e.contradiction, "place outside the batch")
    elseif length:uint() ~= path_length(index:uint(), count:uint()) then
      tree:add_proto_expert_info(e.contradiction, "path length")
    end
    for _ = 1, length:uint() do
      if not read.add(f.a_path, 32, "path") then return end
    end
    tree:append_text(string.format(": batch, %d of %d", index:uint() + 1, count:uint()))
  elseif form == 1 then
    tree:append_text(": single")
  else
    return read.fail("unknown form")
  end
  read.add(f.a_signature, SIGNATURE_BYTES, "signature")
  if read.left() > 0 and not read.failed then read.fail("bytes behind the signature") end
end

local function add_header(tvb, from, to, parent, prefix)
  local tree = parent:add(nark, tvb:range(from, to - from), "Header")
  local function contradict(what) tree:add_proto_expert_info(e.contradiction, what) end
  local read = reader(tvb, from, to, tree)
  local version = read.add(f.h_version, 1, "header version")
  if version and version:uint() ~= 1 then contradict("header version") end
  local flags, flags_item = read.add(f.h_flags, 1, "flags")
  if flags then
    flags_item:add(f.h_random_access, flags)
    flags_item:add(f.h_reserved, flags)
    if flags:uint() > 1 then contradict("reserved flags") end
  end
  read.add(f.h_cipher, 1, "cipher")
  local hash = read.add(f.h_hash, 1, "fragment hash")
  if hash and hash:uint() ~= 1 then contradict("fragment hash") end
  local name = read.take(20, "session tag, sender and ADU")
  if not name then return end
  tree:add(f.h_tag, name:range(0, 8))
  tree:add(f.h_sender, name:range(8, 4))
  tree:add(f.h_adu, name:range(12, 8))
  if name:bytes() ~= prefix:bytes() then contradict("another ADU than the datagram's prefix") end
  local time = add_time(read, f.h_time, "signed time")
  local deadline = add_time(read, f.h_deadline, "deadline")
  local h = {}
  for _, one in ipairs({ { "plaintext", f.h_plaintext, 4 }, { "ciphertext", f.h_ciphertext, 4 },
    { "fragment", f.h_fragment, 2 }, { "sources", f.h_sources, 2 },
    { "parities", f.h_parities, 2 } }) do
    local range = read.add(one[2], one[3], one[1])
    if not range then return end
    h[one[1]] = range:uint()
  end
  if deadline > UInt64(0) and deadline < time then contradict("deadline before the signed time") end
  read.add(f.h_fresh, 16, "fresh bytes")
  local control = read.add(f.h_control_bytes, 2, "control block bytes")
  if not control then return end
  h.control = control:uint()
  add_clear_map(read, tree, h, contradict)
  read.add_bytes(f.h_control, h.control, "control block")
  local count = read.add(f.h_hash_count, 2, "hash count")
  if not count then return end
  h.hashes = count:uint()
  for _ = 1, h.hashes do
    if not read.add(f.h_hashes, 16, "hashes") then return end
  end
  if read.left() > 0 then read.fail("bytes behind the hashes") end
  check_sizes(h, contradict)
  return h
end

-- `u16 header bytes || header || authentication`, from `from` up to `to`. Returns the
-- header's sizes where it has all of them.
local function add_signed_header(tvb, from, to, tree, prefix)
  local read = reader(tvb, from, to, tree)
  local range = read.add(f.header_bytes, 2, "header bytes")
  if not range then return end
  local bytes = range:uint()
  local begin = read.at
  if bytes < CORE_BYTES or not read.take(bytes, "header") then
    return read.fail("header bytes: less than any header has")
  end
  local h = add_header(tvb, begin, begin + bytes, tree, prefix)
  if read.left() == 0 then return read.fail("no authentication") end
  add_authentication(tvb, read.at, to, tree)
  return h
end

local payloads = {
  [1] = function(tvb, tree, prefix) add_signed_header(tvb, PREFIX_BYTES, tvb:len(), tree, prefix) end,
  [2] = function(tvb, tree)
    local read = reader(tvb, PREFIX_BYTES, tvb:len(), tree)
    if read.left() == 0 then return read.fail("an empty fragment") end
    read.add(f.source, read.left(), "source fragment")
  end,
  [3] = function(tvb, tree)
    local read = reader(tvb, PREFIX_BYTES, tvb:len(), tree)
    if read.left() == 0 then return read.fail("an empty fragment") end
    read.add(f.parity, read.left(), "parity fragment")
  end,
  [4] = function(tvb, tree)
    local read = reader(tvb, PREFIX_BYTES, tvb:len(), tree)
    if read.left() == 0 or read.left() % 16 ~= 0 then
      return read.fail("a page is one or more hashes of 16 bytes")
    end
    while read.left() > 0 do read.add(f.page_hash, 16, "hash") end
  end,
  [5] = function(tvb, tree, prefix)
    local read = reader(tvb, PREFIX_BYTES, tvb:len(), tree)
    local range = read.add(f.signed_bytes, 2, "signed header bytes")
    if not range then return end
    local begin = read.at
    if not read.take(range:uint(), "signed header") then return end
    local h = add_signed_header(tvb, begin, read.at, tree, prefix)
    if read.left() == 0 then return read.fail("no ciphertext") end
    if h and h.ciphertext ~= read.left() then
      tree:add_proto_expert_info(e.contradiction, "another size than the header's ciphertext")
    end
    read.add(f.ciphertext, read.left(), "ciphertext")
  end,
}

function nark.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "NARK"
  local tree = root:add(nark, tvb:range())
  local read = reader(tvb, 0, tvb:len(), tree)
  local magic = read.add(f.magic, 2, "magic")
  local version = read.add(f.version, 1, "version")
  local kind = read.add(f.kind, 1, "kind")
  local name = read.take(20, "session tag, sender and ADU")
  if not name then return tvb:len() end
  tree:add(f.tag, name:range(0, 8))
  tree:add(f.sender, name:range(8, 4))
  tree:add(f.adu, name:range(12, 8))
  local index = read.add(f.index, 4, "index")
  if not index then return tvb:len() end
  local number = kind:uint()
  local info = string.format("%s of ADU %s, sender %d", kinds[number] or "unknown kind",
    tostring(name:range(12, 8):uint64()), name:range(8, 4):uint())
  if number == 2 or number == 3 or number == 4 then
    info = info .. string.format(", %s %d", number == 4 and "page" or "fragment", index:uint())
  elseif index:uint() ~= 0 then
    tree:add_proto_expert_info(e.contradiction, "an index where the kind has none")
  end
  pinfo.cols.info = info
  tree:append_text(": " .. info)
  if magic:string() ~= "NK" then
    tree:add_proto_expert_info(e.malformed, "another magic than NK")
  elseif version:uint() ~= 1 then
    tree:add_proto_expert_info(e.malformed, "another version than 1")
  elseif payloads[number] then
    payloads[number](tvb, tree, name)
  else
    tree:add_proto_expert_info(e.malformed, "unknown kind")
  end
  return tvb:len()
end

-- Relays -------------------------------------------------------------------------------

local types = { [1] = "hello", [2] = "cookie", [3] = "subscribe", [4] = "answer" }
local sizes = { [1] = 64, [2] = 44, [3] = 184, [4] = 64 }
local statuses = {
  [0] = "accepted", [1] = "unauthorised", [2] = "session not served", [3] = "full",
  [4] = "too many of the address", [5] = "too many of the credential", [6] = "about to end",
}

local r = {
  magic = ProtoField.string("nark_relay.magic", "Magic"),
  version = ProtoField.uint8("nark_relay.version", "Version"),
  type = ProtoField.uint8("nark_relay.type", "Type", base.DEC, types),
  nonce = ProtoField.bytes("nark_relay.nonce", "Nonce"),
  padding = ProtoField.bytes("nark_relay.padding", "Padding"),
  cookie = ProtoField.bytes("nark_relay.cookie", "Cookie"),
  credential = ProtoField.bytes("nark_relay.credential", "Credential"),
  subscriber = ProtoField.bytes("nark_relay.subscriber", "Subscriber"),
  serial = ProtoField.uint64("nark_relay.serial", "Serial"),
  lease = ProtoField.uint16("nark_relay.lease", "Lease, seconds"),
  tag_count = ProtoField.uint8("nark_relay.tag_count", "Tags"),
  tag = ProtoField.uint64("nark_relay.tag", "Session tag", base.HEX),
  status = ProtoField.uint8("nark_relay.status", "Status", base.DEC, statuses),
  mac = ProtoField.bytes("nark_relay.mac", "MAC"),
}
relay.fields = {}
for _, field in pairs(r) do table.insert(relay.fields, field) end
local relay_malformed = ProtoExpert.new("nark_relay.malformed", "Malformed",
  expert.group.MALFORMED, expert.severity.ERROR)
relay.experts = { relay_malformed }
relay.prefs.ports = Pref.range("UDP ports", "",
  "Ports on which what does not begin with NK is taken for a relay's message", 65535)

local function malformed(tree, what) tree:add_proto_expert_info(relay_malformed, what) end

local function add_padding(tree, range)
  tree:add(r.padding, range)
  if string.find(range:raw(), "[^%z]") then malformed(tree, "padding that is not zero") end
end

local function add_subscribe(tvb, tree)
  tree:add(r.cookie, tvb:range(20, 24))
  tree:add(r.credential, tvb:range(44, 16))
  tree:add(r.subscriber, tvb:range(60, 16))
  tree:add(r.serial, tvb:range(76, 8))
  tree:add(r.lease, tvb:range(84, 2))
  tree:add(r.tag_count, tvb:range(86, 1))
  add_padding(tree, tvb:range(87, 1))
  local tags = tvb:range(86, 1):uint()
  if tags < 1 or tags > 8 then
    malformed(tree, "1 to 8 tags")
    tags = 8
  end
  for i = 0, tags - 1 do
    local tag = tvb:range(88 + 8 * i, 8)
    tree:add(r.tag, tag)
    if i > 0 and tag:uint64() <= tvb:range(80 + 8 * i, 8):uint64() then
      malformed(tree, "tags that do not ascend")
    end
  end
  if tags < 8 then add_padding(tree, tvb:range(88 + 8 * tags, 64 - 8 * tags)) end
  tree:add(r.mac, tvb:range(152, 32))
  return tvb:range(84, 2):uint() == 0 and "leave" or nil
end

local bodies = {
  [1] = function(tvb, tree) add_padding(tree, tvb:range(20, 44)) end,
  [2] = function(tvb, tree) tree:add(r.cookie, tvb:range(20, 24)) end,
  [3] = add_subscribe,
  [4] = function(tvb, tree)
    tree:add(r.serial, tvb:range(20, 8))
    local status = tvb:range(28, 1)
    tree:add(r.status, status)
    add_padding(tree, tvb:range(29, 1))
    tree:add(r.lease, tvb:range(30, 2))
    tree:add(r.mac, tvb:range(32, 32))
    local name = statuses[status:uint()]
    if not name then malformed(tree, "unknown status") end
    return name and "answer: " .. name
  end,
}

function relay.dissector(tvb, pinfo, root)
  if tvb:len() >= 2 and tvb:range(0, 2):raw() == "NK" then
    return nark.dissector(tvb, pinfo, root)
  end
  pinfo.cols.protocol = "NARK-RELAY"
  local tree = root:add(relay, tvb:range())
  if tvb:len() < 4 then
    malformed(tree, "shorter than any message")
    return tvb:len()
  end
  tree:add(r.magic, tvb:range(0, 2))
  tree:add(r.version, tvb:range(2, 1))
  tree:add(r.type, tvb:range(3, 1))
  local number = tvb:range(3, 1):uint()
  local info = types[number] or "unknown type"
  if tvb:range(0, 2):raw() ~= "NR" or tvb:range(2, 1):uint() ~= 1 then
    malformed(tree, "another magic or version")
  elseif not sizes[number] then
    malformed(tree, "unknown type")
  elseif tvb:len() ~= sizes[number] then
    malformed(tree, string.format("%d bytes instead of %d", tvb:len(), sizes[number]))
  else
    tree:add(r.nonce, tvb:range(4, 16))
    info = bodies[number](tvb, tree) or info
  end
  pinfo.cols.info = info
  tree:append_text(": " .. info)
  return tvb:len()
end

-- Finding them -------------------------------------------------------------------------

local function is_nark(tvb)
  if tvb:len() < PREFIX_BYTES or tvb:range(0, 2):raw() ~= "NK" then return false end
  return tvb:range(2, 1):uint() == 1 and kinds[tvb:range(3, 1):uint()] ~= nil
end

local function is_message(tvb)
  if tvb:len() < 4 or tvb:range(0, 2):raw() ~= "NR" then return false end
  return tvb:range(2, 1):uint() == 1 and sizes[tvb:range(3, 1):uint()] == tvb:len()
end

nark:register_heuristic("udp", function(tvb, pinfo, root)
  if not is_nark(tvb) then return false end
  nark.dissector(tvb, pinfo, root)
  return true
end)
relay:register_heuristic("udp", function(tvb, pinfo, root)
  if not is_message(tvb) then return false end
  relay.dissector(tvb, pinfo, root)
  return true
end)

local udp_ports = DissectorTable.get("udp.port")
local used = {}
local function use_ports(protocol)
  if used[protocol.name] and used[protocol.name] ~= "" then
    udp_ports:remove(used[protocol.name], protocol)
  end
  used[protocol.name] = protocol.prefs.ports
  if protocol.prefs.ports ~= "" then udp_ports:add(protocol.prefs.ports, protocol) end
end
for _, protocol in ipairs({ nark, relay }) do
  udp_ports:add_for_decode_as(protocol)
  function protocol.prefs_changed() use_ports(protocol) end
  function protocol.init() use_ports(protocol) end
end
