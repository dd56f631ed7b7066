#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/rocksdb/expiry_filter.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "state/frozen_table.hpp"

namespace weir {

/// What one snapshot brings into the database: the changes of all states as they were frozen.
struct Flush {
  struct Part {
    rocksdb::ColumnFamilyHandle* family;
    std::unique_ptr<FrozenTable> table;
  };
  std::uint64_t number = 0;  ///< from 1, in the order of the freezes
  /// What had not expired at the freeze stays in the database while somebody has the flush.
  std::unique_ptr<const ExpiryHorizon::Hold> unexpired;
  // Of the queue alone:
  std::vector<Part> parts;  // what is yet to be brought in, the next one first
  std::function<Status()> cut;
  std::size_t next_part = 0;
  std::uint32_t next_group = 0;  // of the next part, counted from its first
  bool ended = false;
  Status outcome;
  std::unique_ptr<DatabaseSnapshot> snapshot;  // once all is in
};

/// Brings frozen changes into the database in the order in which they were frozen, and takes one of its
/// snapshots behind each, so that a snapshot holds exactly what was there at its freeze: nothing that
/// was frozen later is in the database before.
/// Threads: any. The work is done in small steps by whoever needs it: by the I/O pool for a snapshot,
/// by the task when it is short of memory.
class FlushQueue {
 public:
  explicit FlushQueue(std::shared_ptr<RocksDBDatabase> database);

  /// Adds a flush behind the others; `unexpired` is null if nothing expires. `cut` is called instead of taking a
  /// snapshot, on any thread, once the database holds the flush and nothing that is newer. Does not wait. The task's.
  [[nodiscard]] std::shared_ptr<Flush> append(
      std::vector<Flush::Part> parts,
      std::unique_ptr<const ExpiryHorizon::Hold> unexpired = nullptr,
      std::function<Status()> cut = {});
  /// Brings in all flushes up to `flush` and returns the snapshot behind it, null if it has a `cut`. Once for
  /// a flush. Errors: `io_error`, `user_function_failed` of its own, those of `cut`; what fails of others is
  /// theirs. What could not be brought in is still a change, and part of the next flush.
  [[nodiscard]] Result<std::unique_ptr<DatabaseSnapshot>> complete(Flush& flush);
  /// Leaves a flush out whose snapshot nobody wants any more.
  void discard(const Flush& flush);
  /// Does some milliseconds of what there is to do; false if there is nothing.
  [[nodiscard]] bool help();
  /// The newest flush that is in the database, and with it all that the older ones had.
  [[nodiscard]] std::uint64_t newest_completed() const {
    return newest_completed_.load(std::memory_order_acquire);
  }
  [[nodiscard]] RocksDBDatabase& database() { return *database_; }

 private:
  [[nodiscard]] std::shared_ptr<Flush> next();
  void step(Flush& flush);
  [[nodiscard]] Status bring_in_some(Flush& flush);

  const std::shared_ptr<RocksDBDatabase> database_;
  std::mutex working_;  // held during a step; guards the contents of flushes
  std::mutex mutex_;    // never held for long; guards `pending_` and `appended_`
  std::deque<std::shared_ptr<Flush>> pending_;
  std::uint64_t appended_ = 0;
  std::atomic<std::uint64_t> newest_completed_ = 0;
};

}  // namespace weir
