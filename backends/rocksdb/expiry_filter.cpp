#include "backends/rocksdb/expiry_filter.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "backends/rocksdb/rocksdb_database.hpp"
#include "backends/rocksdb/stored_value.hpp"

namespace weir {

namespace {

class ExpiryFilter final : public rocksdb::CompactionFilter {
 public:
  explicit ExpiryFilter(const LiveFilter& filter) : filter_(filter) {}
  [[nodiscard]] const char* Name() const override { return "weir.ExpiryFilter"; }

  Decision FilterV2(int, const rocksdb::Slice&, ValueType type, const rocksdb::Slice& existing,
                    std::string* live, std::string*) const override {
    if (type != kValue) return Decision::kKeep;  // operands are merged first
    const auto stored = read_stored_value(view_of(existing));
    if (!stored) return Decision::kKeep;  // whoever reads the entry is told
    // The last run apart, because a longer one may come in its place.
    const std::size_t run_bytes = stored->last.bytes;
    std::string_view below = stored->canonical.substr(0, stored->canonical.size() - run_bytes);
    std::string_view run = stored->canonical.substr(below.size());
    std::string below_buffer;
    std::string run_buffer;
    try {
      if (!below.empty() && !filter_.keep(below, below_buffer)) below = {};
      if (!run.empty() && !filter_.keep(run, run_buffer)) run = {};
    } catch (...) {
      // By the code that describes a type of the job; whoever reads the entry is told.
      return Decision::kKeep;
    }
    if (below.empty() && run.empty()) return Decision::kRemove;
    if (below.size() + run.size() == stored->canonical.size()) return Decision::kKeep;
    live->assign(below);
    live->append(run);
    append_trailer(*live, {stored->last.number, static_cast<std::uint32_t>(run.size())});
    return Decision::kChangeValue;
  }

 private:
  const LiveFilter filter_;
};

}  // namespace

ExpiryHorizon::Hold::Hold(std::shared_ptr<ExpiryHorizon> horizon) : horizon_(std::move(horizon)) {
  const std::scoped_lock lock(horizon_->mutex_);
  held_ = horizon_->held_.insert(horizon_->now_ms_);
}

ExpiryHorizon::Hold::~Hold() {
  const std::scoped_lock lock(horizon_->mutex_);
  horizon_->held_.erase(held_);
}

void ExpiryHorizon::advance(std::int64_t now_ms) {
  const std::scoped_lock lock(mutex_);
  now_ms_ = std::max(now_ms_, now_ms);
}

std::int64_t ExpiryHorizon::time_ms() const {
  const std::scoped_lock lock(mutex_);
  return held_.empty() ? now_ms_ : *held_.begin();
}

std::unique_ptr<rocksdb::CompactionFilter> ExpiryFilterFactory::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context&) {
  return std::make_unique<ExpiryFilter>(rule_.at(horizon_->time_ms()));
}

void expire_by(std::shared_ptr<ExpiryFilterFactory> expiry, rocksdb::ColumnFamilyOptions& options) {
  const auto oldest = std::chrono::duration_cast<std::chrono::seconds>(expiry->rule().time_to_live);
  options.periodic_compaction_seconds = static_cast<std::uint64_t>(
      std::clamp<std::chrono::seconds>(oldest, std::chrono::hours(1), std::chrono::days(30))
          .count());
  options.compaction_filter_factory = std::move(expiry);
}

}  // namespace weir
