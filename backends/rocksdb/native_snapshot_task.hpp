#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/rocksdb/database_files.hpp"
#include "backends/rocksdb/flush_queue.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir {

/// Writes the files of a database as they are: all of them, or those that the base of an incremental checkpoint
/// does not have. Files stand behind each other in the one payload that a task writes
/// (docs/design/011-snapshots-of-a-database-are-its-files.md).
/// Threads: see `SnapshotTask`.
class NativeSnapshotTask final : public SnapshotTask {
 public:
  /// What `FlushQueue` finds behind a flush.
  struct Cut {
    std::unique_ptr<DatabaseFiles> files;
  };
  struct Options {
    CheckpointId checkpoint;
    KeyGroupRange groups;
    std::vector<std::string> states;  ///< by column family, as in `Cut::files`
    /// Is told what the snapshot consists of once it is durable; null if nobody builds on it.
    std::shared_ptr<RememberedFiles> remembered;
  };
  /// `flush` fills `cut`.
  NativeSnapshotTask(std::shared_ptr<FlushQueue> queue, std::shared_ptr<Flush> flush,
                     std::shared_ptr<Cut> cut, Options options)
      : queue_(std::move(queue)),
        flush_(std::move(flush)),
        cut_(std::move(cut)),
        options_(std::move(options)) {}
  ~NativeSnapshotTask() override { queue_->discard(*flush_); }

  [[nodiscard]] Result<KeyedSnapshot> run(SnapshotSink& sink) override;
  [[nodiscard]] bool is_shared() const override { return options_.remembered != nullptr; }
  void payload_durable(const DataLocation& payload) override;

 private:
  [[nodiscard]] Result<KeyedSnapshot> write(const DatabaseFiles& files, SnapshotSink& sink);

  const std::shared_ptr<FlushQueue> queue_;
  const std::shared_ptr<Flush> flush_;
  const std::shared_ptr<Cut> cut_;
  const Options options_;
  KnownFiles written_;  // without the location of what is new
};

}  // namespace weir
