#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "state/block_file.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/ids.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// The file whose presence makes a directory a complete snapshot.
inline constexpr std::string_view metadata_file_name = "_metadata";

/// Where the checkpoints of a job keep the files that they share: `shared` beside `directory`, which is
/// that of one of them.
[[nodiscard]] std::string shared_directory(const std::string& directory);

/// The name of one task's data file: `data-e<epoch>-c<checkpoint>-v<vertex>-s<subtask>-a<attempt>-<random>`.
/// Epoch and checkpoint are in it so that a scan knows them where no `_metadata` was written, the
/// random part so that a name never comes twice.
[[nodiscard]] std::string data_file_name(LeaderEpoch epoch, CheckpointId checkpoint,
                                         const ExecutionId& execution, Random& random);
/// Who wrote the data file `name`, also while it has a temporary name; none if it is no data file.
[[nodiscard]] std::optional<std::pair<LeaderEpoch, CheckpointId>> numbers_in_data_file(
    std::string_view name);
/// Reads digits at the beginning of `text` and removes them. False if there are none, if they overflow
/// or if they are not how we write a number.
[[nodiscard]] bool take_number(std::string_view& text, std::uint64_t& value);

/// Collects the payload of one subtask's snapshot and puts it where `SnapshotPlacement` says: inline
/// up to the threshold, beyond it into a data file.
///
///   TaskSnapshotWriter writer(storage, directory, data_file_name(...), placement, random);
///   writer.begin_state("counts");
///   ... writer.append(bytes) ...
///   auto location = writer.finish();   // durable from here
///   if (!location) writer.discard();   // leaves nothing behind
///
/// Threads: one at a time, on the I/O pool; `cancel` on any. Neither constructor nor destructor
/// touches a file.
class TaskSnapshotWriter final : public SnapshotSink {
 public:
  /// `directory` is that of the snapshot; the file goes there, or beside it if `placement` says that it is
  /// shared. The directory is made when the first byte goes to a file. `storage` outlives the writer; it may be
  /// null when `placement.files` is false.
  TaskSnapshotWriter(CheckpointStorage* storage, std::string directory, std::string file_name,
                     SnapshotPlacement placement, Random& random);

  /// What is appended from here belongs to the state `name`; its limit counts from here.
  void begin_state(std::string_view name) override;
  [[nodiscard]] Status append(std::string_view bytes) override;
  [[nodiscard]] std::uint64_t position() const override { return position_; }

  /// Makes the payload durable and says where it lies. At most once. Errors: as `append`; the writer
  /// is then to be discarded.
  [[nodiscard]] Result<DataLocation> finish();
  /// Removes whatever there is of the file, also after `finish`.
  void discard();

  /// Gives the snapshot up: every later `append` and `finish` fails with `cancelled`. Threads: any.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  /// `append` but for remembering the failure.
  [[nodiscard]] Status append_checked(std::string_view bytes);
  [[nodiscard]] Status check_limits(std::uint64_t added_bytes) const;
  /// Opens the data file and moves the inline bytes into it.
  [[nodiscard]] Status spill();

  CheckpointStorage* const storage_;
  const std::string directory_;
  const std::string file_name_;
  const SnapshotPlacement placement_;
  const std::uint64_t file_id_;
  std::atomic<bool> cancelled_ = false;
  std::string state_;  ///< the state being written, for error sentences
  std::uint64_t state_begin_ = 0;
  std::uint64_t position_ = 0;
  Status failure_;            ///< the first one; nothing succeeds after it
  std::string inline_bytes_;  ///< the payload while there is no file
  std::unique_ptr<StorageOutput> output_;
  bool spilled_ = false;  ///< there was more than may be inline
  std::optional<BlockWriter> blocks_;
};

/// Opens the payload at `location` of the snapshot in `directory`. `storage` may go away afterwards.
/// Errors: `not_found`, `corruption`, `io_error`, with the path.
[[nodiscard]] Result<std::shared_ptr<SnapshotSource>> make_source(CheckpointStorage& storage,
                                                                  const std::string& directory,
                                                                  const DataLocation& location);

/// Writes `_metadata` into `directory` (made if missing), which completes the snapshot. Every data file
/// must be durable before. Errors: `already_exists`; `corruption` if a handle lies outside its location;
/// `io_error` when nothing was written; `unavailable` if the outcome is unknown (see `publish_file`).
[[nodiscard]] Status write_metadata(CheckpointStorage& storage, const std::string& directory,
                                    const SnapshotMetadata& metadata, Random& random);
/// Reads and verifies `_metadata` alone. Errors: `not_found` if there is no complete snapshot,
/// `corruption`, `unsupported` (newer version), `io_error`.
[[nodiscard]] Result<SnapshotMetadata> read_metadata(CheckpointStorage& storage,
                                                     const std::string& directory);
/// Reads and verifies the whole snapshot: `_metadata`, every block of every file that it names, every
/// handle's checksum. Errors: as `read_metadata`, naming file, offset and reason.
[[nodiscard]] Result<SnapshotMetadata> verify_snapshot(CheckpointStorage& storage,
                                                       const std::string& directory);

/// Removes the data files at `locations`, then `directory` if it is empty. Shared files stay: who else
/// names them is known to the job alone. Files that are gone are success. Errors: `io_error`, after trying all.
[[nodiscard]] Status delete_locations(CheckpointStorage& storage, const std::string& directory,
                                      std::span<const DataLocation> locations);
/// Deletes a complete snapshot: `_metadata` first, so that a crash in between leaves no snapshot that
/// looks complete; then the files in its directory that it names; then the directory if it is empty.
[[nodiscard]] Status delete_snapshot(CheckpointStorage& storage, const std::string& directory,
                                     const SnapshotMetadata& metadata);
/// The same, reading what to delete from `_metadata`, which must verify. Errors: as `read_metadata`.
[[nodiscard]] Status delete_snapshot(CheckpointStorage& storage, const std::string& directory);

}  // namespace weir
