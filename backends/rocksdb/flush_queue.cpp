#include "backends/rocksdb/flush_queue.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "backends/rocksdb/sorted_files.hpp"
#include "state/thrown.hpp"

namespace weir {

namespace {

/// A step ends with the key group in which it has written this much.
constexpr std::uint64_t step_bytes = std::uint64_t{8} << 20;

}  // namespace

FlushQueue::FlushQueue(std::shared_ptr<RocksDBDatabase> database)
    : database_(std::move(database)) {}

std::shared_ptr<Flush> FlushQueue::append(std::vector<Flush::Part> parts,
                                          std::unique_ptr<const ExpiryHorizon::Hold> unexpired,
                                          std::function<Status()> cut) {
  auto flush = std::make_shared<Flush>();
  flush->parts = std::move(parts);
  flush->unexpired = std::move(unexpired);
  flush->cut = std::move(cut);
  const std::scoped_lock lock(mutex_);
  flush->number = ++appended_;
  pending_.push_back(flush);
  return flush;
}

Result<std::unique_ptr<DatabaseSnapshot>> FlushQueue::complete(Flush& flush) {
  for (;;) {
    const std::scoped_lock lock(working_);
    if (flush.ended) {
      WEIR_TRY(flush.outcome);
      return std::move(flush.snapshot);
    }
    const std::shared_ptr<Flush> front = next();
    WEIR_ASSERT(front != nullptr && front->number <= flush.number);
    step(*front);
  }
}

void FlushQueue::discard(const Flush& flush) {
  std::shared_ptr<Flush> discarded;  // its tables are let go of without the lock
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(pending_, flush.number, &Flush::number);
  if (found == pending_.end()) return;
  discarded = std::move(*found);
  pending_.erase(found);
}

bool FlushQueue::help() {
  const std::scoped_lock lock(working_);
  const std::shared_ptr<Flush> front = next();
  if (front == nullptr) return false;
  step(*front);
  return true;
}

std::shared_ptr<Flush> FlushQueue::next() {
  const std::scoped_lock lock(mutex_);
  return pending_.empty() ? nullptr : pending_.front();
}

void FlushQueue::step(Flush& flush) {
  try {
    flush.outcome = bring_in_some(flush);
  } catch (...) {  // by the code that describes a type of the job
    flush.outcome = error(Errc::user_function_failed, "writing the state threw" + thrown_text());
  }
  if (flush.outcome && flush.next_part < flush.parts.size()) return;
  flush.ended = true;
  flush.parts.clear();
  if (flush.outcome) {
    newest_completed_.store(flush.number, std::memory_order_release);
    if (flush.cut)
      flush.outcome = std::exchange(flush.cut, {})();
    else
      flush.snapshot = std::make_unique<DatabaseSnapshot>(database_);
  }
  discard(flush);  // it is no longer pending
}

Status FlushQueue::bring_in_some(Flush& flush) {
  SortedFiles files(*database_);
  const auto write = [&]() -> Status {
    for (; flush.next_part < flush.parts.size(); ++flush.next_part, flush.next_group = 0) {
      Flush::Part& part = flush.parts[flush.next_part];
      const KeyGroupRange groups = part.table->groups();
      while (flush.next_group < groups.size()) {
        if (files.bytes() >= step_bytes) return {};
        WEIR_TRY(part.table->for_each_changed(groups.first + flush.next_group++,
                                              [&](auto key, auto value, std::uint32_t run) {
                                                return files.change(part.family, key, value, run);
                                              }));
      }
      part.table.reset();  // the task can use its memory again
    }
    return {};
  };
  Status written = write();
  if (written) written = files.ingest();
  if (!written) files.abandon();
  return written;
}

}  // namespace weir
