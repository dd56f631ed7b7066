#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include <rocksdb/compaction_filter.h>
#include <rocksdb/options.h>

#include "state/time_to_live.hpp"

namespace weir {

/// The time by which compaction tells what has expired: that of the task's last slice, but never later than
/// the freeze of a snapshot that is still to be read. So compaction removes only what neither a record nor
/// a snapshot would be shown.
/// Threads: any.
class ExpiryHorizon {
 public:
  /// The horizon does not pass the time at which this was made.
  class Hold {
   public:
    explicit Hold(std::shared_ptr<ExpiryHorizon> horizon);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    const std::shared_ptr<ExpiryHorizon> horizon_;
    std::multiset<std::int64_t>::iterator held_;
  };

  /// States are read at `now_ms` or later from here on; `now_ms` does not descend.
  void advance(std::int64_t now_ms);
  /// In milliseconds since 1970.
  [[nodiscard]] std::int64_t time_ms() const;

 private:
  mutable std::mutex mutex_;  // guards both
  std::int64_t now_ms_ = INT64_MIN;
  std::multiset<std::int64_t> held_;
};

/// What compaction does with the entries of a state with a time to live: it removes those that have expired
/// by the horizon, and the elements of a list one by one. RocksDB's own snapshots do not count, because the
/// horizon is held for whoever reads one. An entry that is removed is a deletion until it has reached the
/// lowest level, so nothing older comes to light.
/// Threads: any.
class ExpiryFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  ExpiryFilterFactory(const ExpiryRule& rule, std::shared_ptr<const ExpiryHorizon> horizon)
      : rule_(rule), horizon_(std::move(horizon)) {}
  [[nodiscard]] const char* Name() const override { return "weir.ExpiryFilter"; }
  /// `horizon` was advanced at least once.
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override;
  [[nodiscard]] const ExpiryRule& rule() const { return rule_; }

 private:
  const ExpiryRule rule_;
  const std::shared_ptr<const ExpiryHorizon> horizon_;
};

/// Makes a column family with `options` drop what expires. A file that nothing is merged into is rewritten
/// when it is as old as the time to live, but not within the hour, so that what has expired in it goes too.
void expire_by(std::shared_ptr<ExpiryFilterFactory> expiry, rocksdb::ColumnFamilyOptions& options);

}  // namespace weir
