#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "state/frozen_table.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir::test {

/// Collects the payload of a snapshot.
class BytesSink final : public SnapshotSink {
 public:
  std::string bytes;
  std::size_t limit = std::string::npos;  ///< what would go beyond it is refused as `cancelled`
  Status append(std::string_view part) override {
    if (bytes.size() + part.size() > limit) return error(Errc::cancelled, "given up");
    bytes += part;
    return {};
  }
  std::uint64_t position() const override { return bytes.size(); }
};

/// Counts what is written and forgets it.
class CountingSink final : public SnapshotSink {
 public:
  std::uint64_t bytes = 0;
  Status append(std::string_view part) override {
    bytes += part.size();
    return {};
  }
  std::uint64_t position() const override { return bytes; }
};

/// The payload of a snapshot, in the file "/snapshot/data".
class BytesSource final : public SnapshotSource {
 public:
  explicit BytesSource(std::string payload) : bytes(std::move(payload)) {}
  std::string bytes;
  Result<std::string> read(std::uint64_t offset, std::uint64_t length) override {
    if (offset > bytes.size() || length > bytes.size() - offset)
      return error(Errc::corruption, name() + ": too short");
    return bytes.substr(offset, length);
  }
  std::string name() const override { return "/snapshot/data"; }
};

/// Writes all of `frozen`, which can be written again.
inline Result<KeyedStateHandle> write_all(const FrozenTable& frozen, SnapshotSink& sink) {
  KeyedStateHandle handle;
  handle.state = frozen.declaration().name;
  sink.begin_state(handle.state);
  for (std::uint32_t group = frozen.groups().first; group < frozen.groups().end; ++group) {
    if (frozen.entries(group) == 0) continue;
    WEIR_TRY_ASSIGN(extent, frozen.write_group(group, sink));
    if (extent.entries > 0) handle.groups.push_back(extent);
  }
  return handle;
}

}  // namespace weir::test
