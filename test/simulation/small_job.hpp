#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "connectors/file_committer.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "test/connectors/operator_harness.hpp"
#include "test/simulation/small_keyed_state.hpp"
#include "test/state/snapshot_samples.hpp"

namespace weir::test {

/// What people outside have seen of a job: what it has begun and what it has reported. Survives every
/// crash, because what has been said cannot be taken back.
struct Ledger {
  std::uint64_t begun = 0;      ///< the highest id
  std::uint64_t reported = 0;   ///< the newest snapshot that was: nobody else may have its id
  std::uint64_t completed = 0;  ///< the newest recovery point that was reported complete
  std::map<std::uint64_t, int> records;   ///< before the barrier of each possible recovery point
  std::set<std::uint64_t> failed;         ///< reported as failed: must not come back
  std::map<std::string, int> savepoints;  ///< reported complete: records by directory
  bool incremental = false;               ///< how the job is configured
  bool in_database = false;               ///< and where its keyed state is
};

/// A job with a source, an operator with keyed state and a file sink, as far as its files go: it does with the real
/// storage code what `prepare_job`, the tasks, the CheckpointCoordinator and its actor do, in their order,
/// on one thread. Record `i` is the line `i` of the output.
class SmallJob {
 public:
  inline static const std::string root = "/ckpt";
  inline static const std::string savepoints = "/sp";
  inline static const std::string output = "/out";
  inline static const JobId id{0x0123456789abcdefU, 0xfedcba9876543210U};
  static constexpr std::size_t retained_count = 2;
  static constexpr int metadata_removals = 60;  ///< tries, as the CheckpointCoordinator's

  /// `generation` keeps the random numbers of different processes apart. `filler_bytes` is about the
  /// size of a checkpoint.
  SmallJob(FileSystem& files, CheckpointStorage& storage, Ledger& ledger, std::uint64_t generation,
           std::size_t filler_bytes = 66'000)
      : files_(files),
        storage_(storage),
        ledger_(ledger),
        filler_bytes_(filler_bytes),
        sink_(output) {
    for (std::uint64_t i = 0; i < generation * 1000; ++i) (void)around_.random.next();
    context_ = std::make_unique<FakeContext>(files, around_, "sink", 0, 1);
    context_->job_id = id;
  }

  /// Called with the directory of every snapshot before it is reported complete.
  std::function<void(const std::string&)> on_complete = [](const std::string&) {};
  /// How a complete snapshot is deleted.
  std::function<Status(CheckpointStorage&, const std::string&, const SnapshotMetadata&)> deletion =
      [](CheckpointStorage& storage, const std::string& directory, const SnapshotMetadata& what) {
        return delete_snapshot(storage, directory, what);
      };

  /// The id that it was restored from; 0: none.
  [[nodiscard]] std::uint64_t restored_from() const { return restored_from_; }
  [[nodiscard]] int records() const { return next_record_; }
  /// A task has failed, or the outcome of a checkpoint could not be resolved: only a restart helps.
  [[nodiscard]] bool is_broken() const { return broken_; }

  /// From here on checkpoints build on each other, also in the processes that follow.
  void take_incremental() { ledger_.incremental = true; }
  /// From here on its keyed state is in a database. Before `start`.
  void use_database() { ledger_.in_database = true; }
  /// What of the keyed state is not that of the records so far, empty if nothing is.
  [[nodiscard]] std::string compare_state() const { return counts_->compare(next_record_); }

  /// Locks, cleans up and restores from the newest recovery point, if there is one.
  Status start() {
    const std::string directory = job_directory(root, id);
    WEIR_TRY(storage_.create_directories(directory));
    WEIR_TRY_ASSIGN(lock, storage_.lock(directory));
    lock_ = std::move(lock);
    WEIR_TRY_ASSIGN(highest, find_highest(storage_, root, id));
    if (highest.checkpoint.value < ledger_.reported)
      return error(Errc::corruption, "the number " + std::to_string(ledger_.reported) +
                                         " of a complete snapshot would be given again");
    next_id_ = std::max(highest.checkpoint.value, ledger_.begun) + 1;
    epoch_ = {highest.epoch.value + 1};
    WEIR_TRY(delete_orphans(storage_, root, id));
    WEIR_TRY(find_own());
    WEIR_TRY_ASSIGN(found, find_recovery_points(storage_, std::vector<std::string>{root}, name));
    if (!found.nameless.empty()) return std::unexpected(*found.nameless.front().damage);
    if (!found.points.empty()) {
      const RecoveryPoint& newest = found.points.front();
      if (newest.damage) return std::unexpected(*newest.damage);
      WEIR_TRY(restore(newest.directory));
      restored_from_ = newest.checkpoint.value;
    } else {
      WEIR_TRY_ASSIGN(opened, SmallKeyedState::open(ledger_.in_database, files_, storage_));
      counts_ = std::move(opened);
    }
    return sink_.open(*context_);
  }

  Status write(int count) {
    for (int i = 0; i < count; ++i, ++next_record_) {
      counts_->add(next_record_);
      WEIR_TRY(of_task(sink_.append_line(std::to_string(next_record_))));
    }
    return {};
  }

  /// A periodic checkpoint: taken, completed, committed, and the oldest retained one deleted.
  Status checkpoint() {
    WEIR_TRY_ASSIGN(taken, take(SnapshotKind::checkpoint));
    WEIR_TRY(commit(taken));
    return delete_subsumed();
  }

  /// An ordinary savepoint; returns its directory.
  Result<std::string> savepoint(SnapshotForm form = SnapshotForm::canonical) {
    WEIR_TRY(take(SnapshotKind::savepoint, form));
    return savepoint_directory_;
  }

  /// The savepoint of `stop`.
  Status stop() {
    WEIR_TRY_ASSIGN(taken, take(SnapshotKind::terminal_savepoint));
    return of_task(sink_.complete(taken));
  }

  /// A snapshot up to its report; nothing is committed. `form` is that of a savepoint.
  Result<CheckpointId> take(SnapshotKind kind, SnapshotForm form = SnapshotForm::canonical) {
    const CheckpointId taken{next_id_++};
    ledger_.begun = taken.value;
    if (kind != SnapshotKind::savepoint) ledger_.records[taken.value] = next_record_;
    std::string directory = checkpoint_directory(root, id, taken);
    if (kind != SnapshotKind::checkpoint) {
      if (const Status said = take_savepoint_number(storage_, root, id, epoch_, taken); !said)
        return fail(taken, said.error());
      auto made = create_savepoint_directory(storage_, savepoints, id, around_.random);
      if (!made) return fail(taken, made.error());
      directory = savepoint_directory_ = *made;
    } else if (const Status made = storage_.create_directories(directory); !made) {
      return fail(taken, directory, made.error());
    }
    if (const Status closed = sink_.close_file(); !closed) {
      broken_ = true;
      return fail(taken, directory, closed.error());
    }
    sink_.snapshot(taken);
    SnapshotMetadata metadata;
    if (kind == SnapshotKind::checkpoint && ledger_.incremental) form = SnapshotForm::incremental;
    if (const Status written = write_tasks(kind, taken, form, directory, metadata); !written)
      return fail(taken, directory, written.error());
    WEIR_TRY(write_all(kind, directory, metadata));
    on_complete(directory);
    ledger_.reported = taken.value;
    if (kind == SnapshotKind::checkpoint) retained_.push_back({directory, metadata});
    if (kind == SnapshotKind::terminal_savepoint) pointers_.push_back(taken);
    if (kind != SnapshotKind::checkpoint) ledger_.savepoints[directory] = next_record_;
    if (kind != SnapshotKind::savepoint) ledger_.completed = taken.value;
    return taken;
  }

  /// What is written to the database's files from here on is new to the checkpoints behind.
  void merge_files() { counts_->merge_files(); }

  /// Commits what checkpoint `taken` covers.
  Status commit(CheckpointId taken) {
    counts_->checkpoint_complete(taken);
    return of_task(sink_.complete(taken));
  }

  /// Deletes what the newest checkpoint has replaced.
  Status delete_subsumed() {
    for (; !pointers_.empty(); pointers_.erase(pointers_.begin()))
      WEIR_TRY(delete_savepoint_pointer(storage_, root, id, pointers_.front()));
    for (; retained_.size() > retained_count; retained_.erase(retained_.begin())) {
      WEIR_TRY(deletion(storage_, retained_.front().first, retained_.front().second));
      for (const DataLocation& location : retained_.front().second.locations)
        if (location.shared) released_.insert(location.file);
    }
    return delete_unnamed_files();
  }

  /// What a snapshot says of the records before it, after verifying all of it.
  static Result<int> records_in(CheckpointStorage& storage, const std::string& directory) {
    WEIR_TRY_ASSIGN(metadata, verify_snapshot(storage, directory));
    WEIR_TRY_ASSIGN(elements, read_elements(storage, directory, metadata, "source", "position"));
    WEIR_TRY_ASSIGN(position, decode_value<std::int64_t>(elements.at(0), directory));
    return static_cast<int>(position);
  }
  /// What of the keyed state in a snapshot is not that of its records, empty if nothing is.
  static std::string compare_state_in(bool in_database, FileSystem& files,
                                      CheckpointStorage& storage, const std::string& directory,
                                      int records) {
    const auto metadata = read_metadata(storage, directory);
    if (!metadata) return metadata.error().what;
    const auto opened = SmallKeyedState::open(in_database, files, storage, directory, &*metadata);
    return opened ? (*opened)->compare(records) : opened.error().what;
  }

 private:
  inline static const std::string name = "small-job";

  static Result<std::vector<std::string>> read_elements(CheckpointStorage& storage,
                                                        const std::string& directory,
                                                        const SnapshotMetadata& metadata,
                                                        std::string_view uid,
                                                        std::string_view state) {
    std::vector<std::string> elements;
    for (const auto& handle : metadata.find(uid)->subtasks.front().operator_states) {
      if (handle.state != state) continue;
      WEIR_TRY_ASSIGN(source,
                      make_source(storage, directory, metadata.locations.at(handle.location)));
      WEIR_TRY_ASSIGN(bytes, source->read(handle.offset, handle.length));
      for (std::size_t i = 0; i < handle.elements.size(); ++i) {
        const bool last = i + 1 == handle.elements.size();
        const std::uint64_t end = last ? handle.length : handle.elements[i + 1];
        elements.push_back(bytes.substr(handle.elements[i], end - handle.elements[i]));
      }
    }
    return elements;
  }

  Status of_task(Status status) {
    broken_ = broken_ || !status;
    return status;
  }
  /// Reports snapshot `taken` as failed.
  std::unexpected<Error> fail(CheckpointId taken, const Error& cause) {
    ledger_.failed.insert(taken.value);
    return std::unexpected(cause);
  }
  /// The same after removing what there is of it; what cannot be removed waits for the orphan scan.
  std::unexpected<Error> fail(CheckpointId taken, const std::string& directory,
                              const Error& cause) {
    if (const auto entries = storage_.list(directory)) {
      bool removed = true;
      for (const auto& entry : *entries)
        removed = removed && storage_.remove(directory + "/" + entry.name);
      if (removed) (void)storage_.remove(directory);
    }
    (void)delete_shared_files_of(storage_, shared_of_job(), taken);
    return fail(taken, cause);
  }

  static std::string shared_of_job() {
    return shared_directory(checkpoint_directory(root, id, CheckpointId{1}));
  }
  /// Of what deleted checkpoints have shared, what no retained one names.
  Status delete_unnamed_files() {
    std::set<std::string> named;
    for (const auto& [directory, metadata] : retained_)
      for (const DataLocation& location : metadata.locations)
        if (location.shared) named.insert(location.file);
    while (!released_.empty()) {
      const std::string file = *released_.begin();
      if (!named.contains(file)) WEIR_TRY(storage_.remove(shared_of_job() + "/" + file));
      released_.erase(released_.begin());
    }
    return {};
  }

  Status find_own() {
    WEIR_TRY_ASSIGN(found, scan_job(storage_, root, id));
    for (const FoundSnapshot& one : found) {
      if (one.kind == FoundSnapshot::Kind::savepoint_pointer) pointers_.push_back(one.checkpoint);
      if (one.kind != FoundSnapshot::Kind::complete) continue;
      WEIR_TRY_ASSIGN(metadata, read_metadata(storage_, one.path));
      retained_.push_back({one.path, metadata});
    }
    return {};
  }

  Status restore(const std::string& directory) {
    WEIR_TRY_ASSIGN(position, records_in(storage_, directory));
    next_record_ = position;
    WEIR_TRY_ASSIGN(metadata, read_metadata(storage_, directory));
    std::vector<OperatorStateStore::Restored> states;
    for (const StateDeclaration& declaration : metadata.find("sink")->states) {
      WEIR_TRY_ASSIGN(elements,
                      read_elements(storage_, directory, metadata, "sink", declaration.name));
      states.push_back({declaration, std::move(elements), false});
    }
    context_->restored = true;
    context_->operator_state().restore(std::move(states));
    WEIR_TRY_ASSIGN(opened, SmallKeyedState::open(ledger_.in_database, files_, storage_, directory,
                                                  &metadata, true));
    counts_ = std::move(opened);
    return {};
  }

  Status write_tasks(SnapshotKind kind, CheckpointId taken, SnapshotForm form,
                     const std::string& directory, SnapshotMetadata& metadata) {
    metadata.kind = kind;
    metadata.job = id;
    metadata.job_name = name;
    metadata.checkpoint = taken;
    metadata.epoch = epoch_;
    metadata.completed_at_ms = static_cast<std::int64_t>(taken.value);
    const std::string position = encode_value(std::int64_t{next_record_});
    WEIR_TRY(write_task(
        {{"position", StateKind::operator_list, std::nullopt, schema_of<std::int64_t>()}},
        {{"position", position, {0}}}, "source", directory, metadata));
    // Only on the newest recovery point, and on no savepoint.
    const bool builds_on =
        form == SnapshotForm::incremental && !retained_.empty() && pointers_.empty();
    const CheckpointId base = builds_on ? retained_.back().second.checkpoint : CheckpointId();
    WEIR_TRY(counts_->write(storage_, {taken, base, form}, kind, directory,
                            data_file_name(epoch_, taken, {2, 0, 0}, around_.random),
                            around_.random, metadata));
    return write_task(context_->operator_state().declarations(),
                      context_->operator_state().freeze(), "sink", directory, metadata);
  }

  /// The source's snapshot goes into a file, the sink's inline.
  Status write_task(const std::vector<StateDeclaration>& declarations,
                    const std::vector<OperatorStateStore::Frozen>& states, const std::string& uid,
                    const std::string& directory, SnapshotMetadata& metadata) {
    const auto location = static_cast<std::uint32_t>(metadata.locations.size());
    SnapshotPlacement placement;
    placement.inline_threshold_bytes = location == 0 ? 0 : std::size_t{1} << 20;
    TaskSnapshotWriter writer(
        &storage_, directory,
        data_file_name(epoch_, metadata.checkpoint, {location, 0, 0}, around_.random), placement,
        around_.random);
    Status written;
    OperatorSubtaskSnapshot share;
    std::uint64_t offset = 0;
    for (const OperatorStateStore::Frozen& frozen : states) {
      writer.begin_state(frozen.state);
      if (written) written = writer.append(frozen.payload);
      if (!frozen.offsets.empty())
        share.operator_states.push_back({frozen.state, location, offset, frozen.payload.size(),
                                         checksum(frozen.payload), frozen.offsets});
      offset += frozen.payload.size();
    }
    if (written && location == 0) written = writer.append(std::string(filler_bytes_, 'f'));
    auto finished = written ? writer.finish() : std::unexpected(written.error());
    if (!finished) {
      writer.discard();
      return std::unexpected(finished.error());
    }
    metadata.locations.push_back(*finished);
    OperatorSnapshot snapshot;
    snapshot.uid = snapshot.name = uid;
    snapshot.parallelism = 1;
    snapshot.max_parallelism = 128;
    snapshot.states = declarations;
    snapshot.subtasks = {share};
    metadata.operators.push_back(snapshot);
    return {};
  }

  /// Metadata and pointer, and what the coordinator does about an unknown outcome (design 006).
  Status write_all(SnapshotKind kind, const std::string& directory,
                   const SnapshotMetadata& metadata) {
    Status written = write_metadata(storage_, directory, metadata, around_.random);
    const bool has_pointer = written && kind == SnapshotKind::terminal_savepoint;
    if (has_pointer) {
      written = write_savepoint_pointer(
          storage_, root,
          {id, name, metadata.checkpoint, epoch_, metadata.completed_at_ms, directory},
          around_.random);
    }
    if (written) return {};
    const std::string path = directory + "/" + std::string(metadata_file_name);
    if (written.error().code == Errc::unavailable || has_pointer) {
      const auto removed = [&] {
        if (kind == SnapshotKind::terminal_savepoint &&
            !delete_savepoint_pointer(storage_, root, id, metadata.checkpoint))
          return false;
        return storage_.remove(path).has_value();
      };
      int tries = 1;
      while (tries <= metadata_removals && !removed()) ++tries;
      if (tries > metadata_removals) {
        broken_ = true;  // nobody is told that it has failed
        return written;
      }
    }
    return fail(metadata.checkpoint, directory, written.error());
  }

  FileSystem& files_;
  CheckpointStorage& storage_;
  Ledger& ledger_;
  const std::size_t filler_bytes_;
  Surroundings around_;
  std::unique_ptr<FakeContext> context_;
  FileCommitter sink_;
  std::unique_ptr<SmallKeyedState> counts_;  ///< none before `start`
  std::unique_ptr<DirectoryLock> lock_;
  std::uint64_t next_id_ = 1;
  LeaderEpoch epoch_{1};
  std::uint64_t restored_from_ = 0;
  int next_record_ = 0;
  bool broken_ = false;
  std::string savepoint_directory_;
  std::vector<std::pair<std::string, SnapshotMetadata>> retained_;  ///< oldest first
  std::vector<CheckpointId> pointers_;
  std::set<std::string> released_;  ///< shared files of checkpoints that were deleted
};

/// The committed lines below `SmallJob::output`, sorted as numbers; -1 for one that is no number.
inline std::vector<int> committed_lines(const std::map<std::string, std::string>& contents) {
  std::vector<int> lines;
  for (const auto& [path, content] : contents) {
    const std::string prefix = SmallJob::output + "/";
    if (!path.starts_with(prefix) || path[prefix.size()] == '.') continue;
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = content.find('\n', begin);
      const std::string line = content.substr(begin, end - begin);
      const bool number = end != std::string::npos && !line.empty() &&
                          line.find_first_not_of("0123456789") == std::string::npos;
      lines.push_back(number ? std::stoi(line) : -1);
      begin = end == std::string::npos ? content.size() : end + 1;
    }
  }
  std::ranges::sort(lines);
  return lines;
}

inline std::vector<int> numbers_below(int end) {
  std::vector<int> result;
  for (int i = 0; i < end; ++i) result.push_back(i);
  return result;
}

}  // namespace weir::test
