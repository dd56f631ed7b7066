#include "backends/rocksdb/run_merging.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/merge_operator.h>

#include "backends/rocksdb/rocksdb_database.hpp"
#include "backends/rocksdb/stored_value.hpp"

namespace weir {

namespace {

constexpr const char* newest_run_property = "weir.newest-run";

/// Puts runs behind each other, on whatever thread RocksDB needs it. It calls no code of the job.
class RunMergeOperator final : public rocksdb::MergeOperator {
 public:
  bool FullMergeV2(const MergeOperationInput& input, MergeOperationOutput* output) const override {
    std::optional<std::string_view> base;
    if (input.existing_value != nullptr) base = view_of(*input.existing_value);
    return take(merge_stored_values(base, views_of(input.operand_list)), output->new_value);
  }
  bool PartialMergeMulti(const rocksdb::Slice&, const std::deque<rocksdb::Slice>& operands,
                         std::string* merged, rocksdb::Logger*) const override {
    return take(merge_operands(views_of(operands)), *merged);
  }
  const char* Name() const override { return "weir.runs"; }

 private:
  template <class Slices>
  static std::vector<std::string_view> views_of(const Slices& slices) {
    std::vector<std::string_view> views;
    views.reserve(slices.size());
    for (const rocksdb::Slice& slice : slices) views.push_back(view_of(slice));
    return views;
  }
  static bool take(std::optional<std::string> merged, std::string& out) {
    if (!merged) return false;
    out = std::move(*merged);
    return true;
  }
};

class NewestRunCollector final : public rocksdb::TablePropertiesCollector {
 public:
  rocksdb::Status AddUserKey(const rocksdb::Slice&, const rocksdb::Slice& stored,
                             rocksdb::EntryType type, rocksdb::SequenceNumber,
                             std::uint64_t) override {
    if (type == rocksdb::kEntryPut || type == rocksdb::kEntryMerge)
      if (const auto value = read_stored_value(view_of(stored)))
        newest_ = std::max({newest_, value->first.number, value->last.number});
    return rocksdb::Status::OK();
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    *properties = GetReadableProperties();
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{newest_run_property, std::to_string(newest_)}};
  }
  const char* Name() const override { return newest_run_property; }

 private:
  std::uint32_t newest_ = 0;
};

class NewestRunCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override {
    return new NewestRunCollector;
  }
  const char* Name() const override { return newest_run_property; }
};

}  // namespace

void merge_runs(rocksdb::Options& options) {
  options.merge_operator = std::make_shared<RunMergeOperator>();
  options.table_properties_collector_factories.push_back(
      std::make_shared<NewestRunCollectorFactory>());
}

Result<std::uint32_t> newest_run_of(const rocksdb::TablePropertiesCollection& files) {
  std::uint32_t newest = 0;
  for (const auto& [path, properties] : files) {
    const auto found = properties->user_collected_properties.find(newest_run_property);
    std::uint32_t run = 0;
    const bool is_read =
        found != properties->user_collected_properties.end() &&
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), run)
                .ec == std::errc();
    if (!is_read)
      return error(Errc::corruption, path +
                                         ": it does not say which runs are in it; it was not "
                                         "written by Weir, or is damaged");
    newest = std::max(newest, run);
  }
  return newest;
}

}  // namespace weir
