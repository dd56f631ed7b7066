#pragma once

#include <functional>
#include <memory>

#include <rocksdb/file_system.h>

#include "state/file_system.hpp"

namespace weir {

class RocksDBDatabase;

/// What a database reaches the world through: the local disk, of which RocksDB and we see the same files, and
/// whoever merges its files.
struct DatabaseSeams {
  /// The disk of `local`, which outlives the databases; they merge their files themselves.
  DatabaseSeams(
      FileSystem& local)  // NOLINT(google-explicit-constructor): the disk is all there is to say
      : DatabaseSeams(local, rocksdb::FileSystem::Default()) {}
  DatabaseSeams(FileSystem& local, std::shared_ptr<rocksdb::FileSystem> as_rocksdb_sees_it)
      : files(&local), native_files(std::move(as_rocksdb_sees_it)) {}

  FileSystem* files;
  std::shared_ptr<rocksdb::FileSystem> native_files;
  /// Is told of every database when it is open. Who listens merges its files; it does so never by itself, and has
  /// no work in the background at all.
  std::function<void(const std::shared_ptr<RocksDBDatabase>&)> opened;
};

}  // namespace weir
