#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include <rocksdb/cache.h>
#include <rocksdb/options.h>

namespace weir {

/// How the files of a database are laid out. While the indexes and filters of all files together fit into
/// half of the block cache, a file has one of each, which stay in memory from when it is opened: a key is
/// then found with one read. Beyond that new files have theirs in small partitions, which are read and
/// kept in the cache like data, because a whole one would be read anew for a single key.
/// Threads: any.
class TableFiles {
 public:
  /// `cache` is that of the process.
  explicit TableFiles(std::shared_ptr<rocksdb::Cache> cache);
  /// Makes column families with `options`, and files for them, so.
  void apply_to(rocksdb::Options& options) const;
  /// What reads both layouts and always writes partitions, in RocksDB's own class: it rewrites files because of
  /// their age with that alone.
  [[nodiscard]] std::shared_ptr<rocksdb::TableFactory> in_partitions() const;
  /// Whether reading a single key is quicker without leaving its block in the cache: the block holds few
  /// other keys that will be wanted, and what finds blocks is in memory anyway.
  [[nodiscard]] bool leave_no_blocks() const {
    return indexes_fit_->load(std::memory_order_relaxed);
  }

 private:
  const std::shared_ptr<rocksdb::Cache> cache_;
  const std::shared_ptr<std::atomic<bool>> indexes_fit_;
};

}  // namespace weir
