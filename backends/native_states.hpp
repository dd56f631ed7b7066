#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "state/extents.hpp"
#include "state/file_system.hpp"
#include "state/key_groups.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir {

/// One extent of a restored state, and who can read it.
struct RestoredExtent {
  std::shared_ptr<SnapshotSource> source;
  KeyGroupExtent group;
  StateFormat format = StateFormat::canonical;
  std::uint64_t sequence = 0;
  std::shared_ptr<const DataLocation> location;  ///< what `source` reads
};

/// One state as one subtask has written it as files of a database: their list, then the files in its order.
using NativePart = std::vector<RestoredExtent>;

/// The entries of a `NativePart`, ascending by key.
/// Threads: the task's.
class NativeEntries {
 public:
  virtual ~NativeEntries() = default;
  [[nodiscard]] virtual bool done() const = 0;
  /// Does the next bounded piece of work and returns the entries that came of it, which may be none. They
  /// are valid until the next call. Requires `!done()`. Errors: `corruption`, `io_error`, with the source.
  [[nodiscard]] virtual Result<std::span<const EntryView>> next() = 0;
};

/// Reads such parts for one subtask, one after the other, with the help of local files that are gone when it
/// is destroyed.
/// Threads: the task's.
class NativeStates {
 public:
  virtual ~NativeStates() = default;
  /// The entries of `part` that belong to one of `groups`. What it returns is destroyed before the next call
  /// and before this. Does not read yet.
  [[nodiscard]] virtual std::unique_ptr<NativeEntries> open(NativePart part,
                                                            KeyGroupRange groups) = 0;
};

/// Makes one that uses `directory`, which is made, and `files`, which outlives it. The backend that writes the
/// form has one; the others are given it. Errors: `io_error`.
using NativeStatesFactory = std::function<Result<std::unique_ptr<NativeStates>>(
    FileSystem& files, const std::string& directory)>;

}  // namespace weir
