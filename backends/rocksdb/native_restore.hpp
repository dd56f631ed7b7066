#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/native_states.hpp"
#include "backends/rocksdb/database_files.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"

namespace rocksdb {
class Iterator;
}  // namespace rocksdb

namespace weir {

/// Reads the list of `part` and checks it, but for the files themselves. Errors: `corruption`, `io_error`, with
/// the source.
[[nodiscard]] Result<FileList> read_file_list(const NativePart& part);

/// Copies files of snapshots to where a database can take them, piece by piece, and compares each as a whole with its
/// checksum before the database sees it.
/// Threads: one.
class FileCopies {
 public:
  struct Copy {
    RestoredExtent extent;
    ListedFile listed;
    std::string path;
  };
  /// `database`, which outlives this, names the copies.
  explicit FileCopies(RocksDBDatabase& database) : database_(database) {}
  ~FileCopies() { abandon(); }
  FileCopies(const FileCopies&) = delete;
  FileCopies& operator=(const FileCopies&) = delete;

  /// Adds the files of `part`, whose list is `list`, that may have a key of `groups`.
  void add(const NativePart& part, const FileList& list, KeyGroupRange groups);
  [[nodiscard]] bool done() const { return next_ == copies_.size(); }
  /// Copies a piece. Requires `!done()`. Errors: `corruption`, `io_error`, with the source or the copy.
  [[nodiscard]] Status copy_some();
  [[nodiscard]] const std::vector<Copy>& copies() const { return copies_; }
  /// Of `copies()`, in their order.
  [[nodiscard]] std::vector<rocksdb::LiveFileMetaData> metadata() const;
  /// Removes the copies that nobody has taken.
  void abandon();

 private:
  RocksDBDatabase& database_;
  std::vector<Copy> copies_;
  std::size_t next_ = 0;
  // Of the next one:
  std::unique_ptr<OutputFile> output_;
  std::uint64_t copied_bytes_ = 0;
  XXH3_state_t hash_;
};

/// Makes a column family of files from snapshots, if they fit: all of their entries are wanted and have the
/// right type.
/// Threads: the task's.
class FileImport {
 public:
  enum class Outcome {
    pending,   ///< `next` goes on
    imported,  ///< the column family is there
    unfit      ///< nothing is there: the entries have to be written anew
  };
  /// The column family of `database`, which outlives this, will be called `name`; `expiry` is that of a state
  /// with a time to live.
  FileImport(RocksDBDatabase& database, std::string name, std::vector<NativePart> parts,
             KeyGroupRange groups, std::shared_ptr<ExpiryFilterFactory> expiry = nullptr)
      : database_(database),
        name_(std::move(name)),
        parts_(std::move(parts)),
        groups_(groups),
        expiry_(std::move(expiry)),
        copies_(database) {}

  /// Does the next bounded piece of work. Errors: `corruption`, `io_error`.
  [[nodiscard]] Result<Outcome> next();
  /// Once it is there.
  [[nodiscard]] rocksdb::ColumnFamilyHandle* family() const { return family_; }
  /// The files of the column family that later checkpoints can leave where the restored one has them.
  [[nodiscard]] const KnownFiles& known() const { return known_; }

 private:
  [[nodiscard]] Result<Outcome> import();
  [[nodiscard]] Result<bool> join(std::vector<rocksdb::LiveFileMetaData>& files) const;
  void note_known();

  RocksDBDatabase& database_;
  const std::string name_;
  const std::vector<NativePart> parts_;
  const KeyGroupRange groups_;
  const std::shared_ptr<ExpiryFilterFactory> expiry_;
  std::size_t next_part_ = 0;
  FileCopies copies_;
  rocksdb::ColumnFamilyHandle* family_ = nullptr;
  KnownFiles known_;
};

/// Reads the files of snapshots by opening copies of them in a column family of its own.
/// Threads: the task's.
class DatabaseStates final : public NativeStates {
 public:
  /// Uses `database`.
  explicit DatabaseStates(std::shared_ptr<RocksDBDatabase> database)
      : database_(std::move(database)) {}
  /// Makes a database in `directory`, which goes with this. Errors: `io_error`.
  [[nodiscard]] static Result<std::unique_ptr<NativeStates>> create(const DatabaseSeams& seams,
                                                                    const std::string& directory);
  [[nodiscard]] std::unique_ptr<NativeEntries> open(NativePart part, KeyGroupRange groups) override;

 private:
  const std::shared_ptr<RocksDBDatabase> database_;
};

}  // namespace weir
