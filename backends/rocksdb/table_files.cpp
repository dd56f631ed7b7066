#include "backends/rocksdb/table_files.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

namespace weir {

namespace {

constexpr double bloom_bits_per_key = 10;
/// A file is not larger than the cache, so that its index and filter are a small part of it.
constexpr std::uint64_t smallest_file_bytes = std::uint64_t{1} << 20;
constexpr std::uint64_t largest_file_bytes = std::uint64_t{64} << 20;
/// About so many files are written before the first of them is opened, and counted.
constexpr std::uint64_t files_of_compaction = 8;

std::unique_ptr<rocksdb::TableFactory> make_factory(std::shared_ptr<rocksdb::Cache> cache,
                                                    bool in_partitions) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.cache_index_and_filter_blocks = true;  // or they would escape the memory budget
  table.metadata_cache_options.top_level_index_pinning = rocksdb::PinningTier::kAll;
  table.metadata_cache_options.unpartitioned_pinning = rocksdb::PinningTier::kAll;
  table.metadata_cache_options.partition_pinning = rocksdb::PinningTier::kNone;
  if (in_partitions) {
    table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
    table.partition_filters = true;
  }
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(bloom_bits_per_key));
  return std::unique_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

/// Reads both layouts, and chooses one for each file that is written.
class Factory final : public rocksdb::TableFactory {
 public:
  Factory(const std::shared_ptr<rocksdb::Cache>& cache,
          std::shared_ptr<std::atomic<bool>> indexes_fit)
      : cache_(cache),
        indexes_fit_(std::move(indexes_fit)),
        whole_(make_factory(cache, false)),
        in_partitions_(make_factory(cache, true)) {}

  // Another name than RocksDB's own, which it would take for its own class.
  [[nodiscard]] const char* Name() const override { return "weir.TableFiles"; }
  [[nodiscard]] const rocksdb::Customizable* Inner() const override { return whole_.get(); }

  rocksdb::Status NewTableReader(const rocksdb::ReadOptions& read,
                                 const rocksdb::TableReaderOptions& options,
                                 std::unique_ptr<rocksdb::RandomAccessFileReader>&& file,
                                 std::uint64_t file_size,
                                 std::unique_ptr<rocksdb::TableReader>* reader,
                                 bool prefetch) const override {
    return whole_->NewTableReader(read, options, std::move(file), file_size, reader, prefetch);
  }
  rocksdb::TableBuilder* NewTableBuilder(const rocksdb::TableBuilderOptions& options,
                                         rocksdb::WritableFileWriter* file) const override {
    // What is pinned are indexes and filters, but for the few blocks that are being read.
    const bool fit = cache_->GetPinnedUsage() <= cache_->GetCapacity() / 2;
    indexes_fit_->store(fit, std::memory_order_relaxed);
    return (fit ? whole_ : in_partitions_)->NewTableBuilder(options, file);
  }

 private:
  const std::shared_ptr<rocksdb::Cache> cache_;
  const std::shared_ptr<std::atomic<bool>> indexes_fit_;
  const std::unique_ptr<rocksdb::TableFactory> whole_;
  const std::unique_ptr<rocksdb::TableFactory> in_partitions_;
};

}  // namespace

TableFiles::TableFiles(std::shared_ptr<rocksdb::Cache> cache)
    : cache_(std::move(cache)), indexes_fit_(std::make_shared<std::atomic<bool>>(true)) {}

std::shared_ptr<rocksdb::TableFactory> TableFiles::in_partitions() const {
  return make_factory(cache_, true);
}

void TableFiles::apply_to(rocksdb::Options& options) const {
  options.table_factory = std::make_shared<Factory>(cache_, indexes_fit_);
  options.target_file_size_base =
      std::clamp<std::uint64_t>(cache_->GetCapacity(), smallest_file_bytes, largest_file_bytes);
  options.max_compaction_bytes = files_of_compaction * options.target_file_size_base;
}

}  // namespace weir
