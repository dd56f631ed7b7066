#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/remembered_snapshots.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "state/fields.hpp"
#include "state/key_groups.hpp"

namespace weir {

/// What a snapshot says of one file of a database beside its bytes: its place there, which may change while the
/// file does not.
struct ListedFile {
  std::uint8_t level = 0;
  std::uint32_t first_group = 0;  ///< of its smallest key
  std::uint32_t last_group = 0;   ///< of its largest
  std::uint64_t smallest_sequence = 0;
  std::uint64_t largest_sequence = 0;
  /// Bytes of all files that were written with it into its location for this operator, itself included.
  std::uint64_t written_bytes = 0;
};
WEIR_FIELDS(ListedFile, level, first_group, last_group, smallest_sequence, largest_sequence,
            written_bytes)

/// The files of one state in one subtask, which are all that its column family consists of
/// (docs/formats/snapshot.md).
struct FileList {
  KeyGroupRange groups;           ///< of the subtask
  std::vector<ListedFile> files;  ///< the i-th is file i + 1 of the snapshot
};
WEIR_FIELDS(FileList, groups, files)

/// A file that a snapshot has, by its number in the database.
struct KnownFile {
  std::shared_ptr<const DataLocation> location;
  KeyGroupExtent extent;
  std::uint64_t written_bytes = 0;  ///< as in `ListedFile`
};
using KnownFiles = std::map<std::uint64_t, KnownFile>;
using RememberedFiles = RememberedSnapshots<KnownFiles>;

/// The files of some column families at one moment. What no snapshot has yet is kept by hard links until it has
/// been read, whatever becomes of the database's own names.
/// Threads: any, one at a time.
class DatabaseFiles {
 public:
  struct File {
    std::uint64_t number = 0;  ///< in the database
    std::string path;          ///< there, for as long as the database needs it
    std::uint64_t size_bytes = 0;
    ListedFile listed;
    const KnownFile* known = nullptr;  ///< where a snapshot has it; null: at `link`
    std::string link;
  };
  /// The files of `families`, in which nothing is written meanwhile, without those that `base` has, if that
  /// is not null. Of a location of which less than half is used any more, nothing is taken over, so that its
  /// file can go. Errors: `io_error`; then no link is left.
  [[nodiscard]] static Result<std::unique_ptr<DatabaseFiles>> take(
      std::shared_ptr<RocksDBDatabase> database,
      const std::vector<rocksdb::ColumnFamilyHandle*>& families,
      std::shared_ptr<const KnownFiles> base);
  /// Removes the links: nobody else knows of them.
  ~DatabaseFiles();
  DatabaseFiles(const DatabaseFiles&) = delete;
  DatabaseFiles& operator=(const DatabaseFiles&) = delete;

  /// By family, in the order given; of each in a fixed order.
  [[nodiscard]] const std::vector<std::vector<File>>& files() const { return files_; }
  /// Bytes of all files that are linked.
  [[nodiscard]] std::uint64_t linked_bytes() const;
  [[nodiscard]] RocksDBDatabase& database() const { return *database_; }

 private:
  DatabaseFiles(std::shared_ptr<RocksDBDatabase> database, std::shared_ptr<const KnownFiles> base)
      : database_(std::move(database)), base_(std::move(base)) {}
  void list(const std::vector<rocksdb::ColumnFamilyHandle*>& families);
  void find_known();
  [[nodiscard]] Status link();

  const std::shared_ptr<RocksDBDatabase> database_;
  const std::shared_ptr<const KnownFiles> base_;
  std::vector<std::vector<File>> files_;
};

}  // namespace weir
