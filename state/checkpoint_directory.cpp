#include "state/checkpoint_directory.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "state/block_file.hpp"
#include "state/snapshot_io.hpp"

namespace weir {
namespace {

constexpr std::string_view pointer_magic = "WEIRPNTR";
constexpr std::uint64_t pointer_version = 1;
constexpr std::string_view finished_magic = "WEIRDONE";
constexpr std::uint64_t finished_version = 1;
/// Of a pointer or a mark.
constexpr std::uint64_t document_limit_bytes = 1 << 20;
constexpr std::string_view checkpoint_prefix = "chk-";
constexpr std::string_view savepoint_prefix = "savepoint-";
constexpr std::string_view number_prefix = "number-";
constexpr std::string_view lock_name = ".lock";
constexpr std::string_view shared_name = "shared";
constexpr std::string_view finished_name = "finished";
constexpr std::size_t job_digits_in_savepoint = 6;
/// As Flink: so many names are tried before giving up.
constexpr int savepoint_name_attempts = 10;

std::string child(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name);
}

std::string pointer_path(const std::string& directory, const JobId& job, CheckpointId savepoint) {
  return child(job_directory(directory, job),
               std::string(savepoint_prefix) + std::to_string(savepoint.value));
}

/// The number behind `prefix` when `name` is nothing else.
std::optional<CheckpointId> numbered(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  CheckpointId id;
  if (!take_number(name, id.value) || !name.empty()) return std::nullopt;
  return id;
}

/// What `number-<epoch>-<number>` says.
std::optional<HighestFound> said_by_name(std::string_view name) {
  if (!name.starts_with(number_prefix)) return std::nullopt;
  name.remove_prefix(number_prefix.size());
  HighestFound said;
  if (!take_number(name, said.epoch.value) || !name.starts_with('-')) return std::nullopt;
  name.remove_prefix(1);
  if (!take_number(name, said.checkpoint.value) || !name.empty()) return std::nullopt;
  return said;
}

void raise(HighestFound& highest, CheckpointId checkpoint, LeaderEpoch epoch) {
  highest.checkpoint = std::max(highest.checkpoint, checkpoint);
  highest.epoch = std::max(highest.epoch, epoch);
}

void raise_by_names(HighestFound& highest, const std::vector<DirectoryEntry>& entries) {
  for (const auto& entry : entries) {
    if (const auto numbers = numbers_in_data_file(entry.name))
      raise(highest, numbers->second, numbers->first);
  }
}

bool contains_metadata(const std::vector<DirectoryEntry>& entries) {
  return std::ranges::any_of(entries, [](const DirectoryEntry& entry) {
    return entry.name == metadata_file_name && !entry.is_directory;
  });
}

/// As `list`, but a directory that is not there, or no longer, is empty.
Result<std::vector<DirectoryEntry>> list_or_empty(CheckpointStorage& storage,
                                                  const std::string& directory) {
  auto entries = storage.list(directory);
  if (!entries && entries.error().code == Errc::not_found) return std::vector<DirectoryEntry>();
  return entries;
}

/// True if the error is about the bytes, not about reaching them: the next reader fares no better.
bool is_damage(const Error& failure) {
  return failure.code == Errc::corruption || failure.code == Errc::unsupported ||
         failure.code == Errc::not_found;
}

/// Reads a document of one value. Errors: `not_found`, `corruption`, `unsupported`, `io_error`.
template <class T>
Result<T> read_small_document(CheckpointStorage& storage, const std::string& path,
                              std::string_view magic, std::uint64_t version,
                              const std::string& kind) {
  auto bytes = read_stored_file(storage, path, document_limit_bytes);
  if (!bytes && bytes.error().code == Errc::limit_exceeded) bytes.error().code = Errc::corruption;
  if (!bytes) return std::unexpected(bytes.error());
  WEIR_TRY_ASSIGN(body, decode_document(*bytes, path, magic, version, kind));
  return decode_value<T>(body, path + ": the body at offset 40");
}

/// The newest mark of a finished run of `job_name` under `directory`.
Result<std::optional<FinishedRun>> find_finished(CheckpointStorage& storage,
                                                 const std::string& directory,
                                                 const std::string& job_name) {
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, directory));
  std::optional<FinishedRun> newest;
  for (const auto& entry : entries) {
    if (!entry.is_directory || entry.is_symlink || !parse_job_id(entry.name)) continue;
    const std::string path = child(child(directory, entry.name), finished_name);
    const auto run = read_small_document<FinishedRun>(storage, path, finished_magic,
                                                      finished_version, "mark of a finished run");
    if (!run && run.error().code == Errc::not_found) continue;
    if (!run) return std::unexpected(run.error());
    if (run->job_name == job_name && (!newest || run->finished_at_ms > newest->finished_at_ms))
      newest = *run;
  }
  return newest;
}

/// A recovery point with the name of its job, empty if nothing could be read.
struct NamedPoint {
  RecoveryPoint point;
  std::string job_name;
};

/// Reads what a found checkpoint or pointer says of itself. Nothing if it has disappeared meanwhile.
Result<std::optional<NamedPoint>> read_point(CheckpointStorage& storage,
                                             const FoundSnapshot& found) {
  NamedPoint result;
  RecoveryPoint& point = result.point;
  point.job = found.job;
  point.checkpoint = found.checkpoint;
  point.directory = found.path;
  point.is_savepoint = found.kind == FoundSnapshot::Kind::savepoint_pointer;
  if (point.is_savepoint) {
    const auto pointer = read_savepoint_pointer(storage, found.path);
    if (!pointer) {
      if (pointer.error().code == Errc::not_found) return std::nullopt;
      if (!is_damage(pointer.error())) return std::unexpected(pointer.error());
      point.damage = pointer.error();
      return result;
    }
    if (pointer->job != found.job || pointer->savepoint != found.checkpoint) {
      point.damage = Error{Errc::corruption, found.path + ": belongs to another job or savepoint"};
      return result;
    }
    point.directory = pointer->directory;
    point.epoch = pointer->epoch;
    point.completed_at_ms = pointer->completed_at_ms;
    result.job_name = pointer->job_name;
  }
  const auto metadata = read_metadata(storage, point.directory);
  if (!metadata) {
    // A checkpoint without `_metadata` was deleted between the scan and now; a terminal savepoint
    // without it is a recovery point that somebody has moved or removed.
    if (metadata.error().code == Errc::not_found && !point.is_savepoint) return std::nullopt;
    if (!is_damage(metadata.error())) return std::unexpected(metadata.error());
    point.damage = metadata.error();
    return result;
  }
  if (metadata->job != found.job || metadata->checkpoint != found.checkpoint) {
    point.damage = Error{Errc::corruption, point.directory + "/" + std::string(metadata_file_name) +
                                               ": belongs to another job or checkpoint"};
    return result;
  }
  point.epoch = metadata->epoch;
  point.completed_at_ms = metadata->completed_at_ms;
  result.job_name = metadata->job_name;
  return result;
}

/// Newest first by (epoch, number). A damaged point whose epoch is unknown gets the highest of those
/// with lower numbers: numbers are never reused, so it is newer than they are.
void sort_newest_first(std::vector<RecoveryPoint>& points) {
  for (RecoveryPoint& damaged : points) {
    if (!damaged.damage || damaged.epoch.value != 0) continue;
    for (const RecoveryPoint& other : points)
      if (!other.damage && other.checkpoint < damaged.checkpoint)
        damaged.epoch = std::max(damaged.epoch, other.epoch);
  }
  std::ranges::stable_sort(points, [](const RecoveryPoint& a, const RecoveryPoint& b) {
    return std::pair(a.epoch, a.checkpoint) > std::pair(b.epoch, b.checkpoint);
  });
}

/// Removes `path` and remembers it in `removed`.
Status remove_orphan(CheckpointStorage& storage, const std::string& path,
                     std::vector<std::string>& removed) {
  WEIR_TRY(storage.remove(path));
  removed.push_back(path);
  return {};
}

Status make_durable_if_there(CheckpointStorage& storage, const std::string& directory) {
  const Status durable = storage.make_durable(directory);
  return !durable && durable.error().code == Errc::not_found ? Status() : durable;
}

/// Which files of `shared/` are in use.
struct SharedFiles {
  std::set<std::string> named;
  bool known = true;  ///< false if a `_metadata` that may name others cannot be read
};

/// Deletes what does not belong into the directory of one checkpoint. Directories and symbolic links
/// in it are not ours and are left alone. Adds the shared files that it names to `shared`.
Status delete_checkpoint_orphans(CheckpointStorage& storage, const std::string& directory,
                                 SharedFiles& shared, std::vector<std::string>& removed) {
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, directory));
  std::vector<std::string> named;
  const bool complete = contains_metadata(entries);
  if (complete) {
    const auto metadata = read_metadata(storage, directory);
    if (!metadata) {
      shared.known = false;
      return is_damage(metadata.error()) ? Status() : std::unexpected(metadata.error());
    }
    named.emplace_back(metadata_file_name);
    for (const auto& location : metadata->locations) {
      if (location.shared)
        shared.named.insert(location.file);
      else
        named.push_back(location.file);
    }
  }
  // Whoever removed `_metadata` may have been killed before that was durable: a crash would bring it back, without the
  // files that it names.
  if (!complete && !entries.empty()) WEIR_TRY(make_durable_if_there(storage, directory));
  bool emptied = true;
  for (const auto& entry : entries) {
    const bool is_orphan = !entry.is_directory && !entry.is_symlink &&
                           std::ranges::find(named, entry.name) == named.end();
    if (!is_orphan) {
      emptied = false;
      continue;
    }
    WEIR_TRY(remove_orphan(storage, child(directory, entry.name), removed));
  }
  if (emptied && !complete) return remove_orphan(storage, directory, removed);
  return make_durable_if_there(storage, directory);
}

/// Deletes the files of `shared/` that no checkpoint names.
Status delete_shared_orphans(CheckpointStorage& storage, const std::string& directory,
                             const SharedFiles& shared, std::vector<std::string>& removed) {
  if (!shared.known) return {};
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, directory));
  for (const auto& entry : entries) {
    const bool is_orphan =
        !entry.is_directory && !entry.is_symlink && !shared.named.contains(entry.name);
    if (is_orphan) WEIR_TRY(remove_orphan(storage, child(directory, entry.name), removed));
  }
  return {};
}

}  // namespace

std::string job_directory(const std::string& directory, const JobId& job) {
  return child(directory, to_string(job));
}

std::string checkpoint_directory(const std::string& directory, const JobId& job,
                                 CheckpointId checkpoint) {
  return child(job_directory(directory, job),
               std::string(checkpoint_prefix) + std::to_string(checkpoint.value));
}

Result<std::string> create_savepoint_directory(CheckpointStorage& storage,
                                               const std::string& target, const JobId& job,
                                               Random& random) {
  WEIR_TRY(storage.create_directories(target));
  WEIR_TRY_ASSIGN(entries, storage.list(target));
  for (int attempt = 0; attempt < savepoint_name_attempts; ++attempt) {
    const JobId drawn{random.next(), 0};
    const std::string name = std::string(savepoint_prefix) +
                             to_string(job).substr(0, job_digits_in_savepoint) + "-" +
                             to_string(drawn).substr(0, 12);
    if (std::ranges::find(entries, name, &DirectoryEntry::name) != entries.end()) continue;
    const std::string path = child(target, name);
    WEIR_TRY(storage.create_directories(path));
    return path;
  }
  return error(Errc::already_exists, target + ": found no free name for a savepoint in " +
                                         std::to_string(savepoint_name_attempts) + " attempts");
}

Status take_savepoint_number(CheckpointStorage& storage, const std::string& directory,
                             const JobId& job, LeaderEpoch epoch, CheckpointId number) {
  const std::string job_path = job_directory(directory, job);
  WEIR_TRY(storage.create_directories(job_path));
  const std::string name =
      std::string(number_prefix) + std::to_string(epoch.value) + "-" + std::to_string(number.value);
  WEIR_TRY(publish_file(storage, child(job_path, name), {}));
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, job_path));
  for (const auto& entry : entries) {
    const auto said = said_by_name(entry.name);
    // One that stays does no harm, and goes with the next savepoint.
    if (said && said->epoch <= epoch && said->checkpoint < number)
      (void)storage.remove(child(job_path, entry.name));
  }
  return {};
}

Status write_savepoint_pointer(CheckpointStorage& storage, const std::string& directory,
                               const SavepointPointer& pointer, Random& random) {
  WEIR_TRY(storage.create_directories(job_directory(directory, pointer.job)));
  return publish_file(
      storage, pointer_path(directory, pointer.job, pointer.savepoint),
      encode_document(pointer_magic, pointer_version, random.next(), encode_value(pointer)));
}

Result<SavepointPointer> read_savepoint_pointer(CheckpointStorage& storage,
                                                const std::string& path) {
  return read_small_document<SavepointPointer>(storage, path, pointer_magic, pointer_version,
                                               "savepoint pointer");
}

Status delete_savepoint_pointer(CheckpointStorage& storage, const std::string& directory,
                                const JobId& job, CheckpointId savepoint) {
  return storage.remove(pointer_path(directory, job, savepoint));
}

Status mark_finished(CheckpointStorage& storage, const std::string& directory,
                     const FinishedRun& run, Random& random) {
  WEIR_TRY_ASSIGN(found, scan_checkpoints(storage, directory));
  for (const auto& snapshot : found) {
    if (snapshot.kind == FoundSnapshot::Kind::incomplete) continue;
    if (snapshot.job == run.job && snapshot.kind == FoundSnapshot::Kind::complete) continue;
    WEIR_TRY_ASSIGN(read, read_point(storage, snapshot));
    // What cannot be read may be of that name as well.
    if (!read || (!read->job_name.empty() && read->job_name != run.job_name)) continue;
    const std::string path = child(job_directory(directory, run.job), finished_name);
    WEIR_TRY(storage.create_directories(job_directory(directory, run.job)));
    WEIR_TRY(storage.remove(path));
    return publish_file(
        storage, path,
        encode_document(finished_magic, finished_version, random.next(), encode_value(run)));
  }
  return {};
}

Result<std::vector<FoundSnapshot>> scan_job(CheckpointStorage& storage,
                                            const std::string& directory, const JobId& job) {
  const std::string job_path = job_directory(directory, job);
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, job_path));
  std::vector<FoundSnapshot> found;
  for (const auto& entry : entries) {
    if (entry.is_symlink) continue;
    FoundSnapshot one;
    one.job = job;
    one.path = child(job_path, entry.name);
    if (entry.is_directory) {
      const auto number = numbered(entry.name, checkpoint_prefix);
      if (!number) continue;
      WEIR_TRY_ASSIGN(files, list_or_empty(storage, one.path));
      HighestFound numbers;
      raise_by_names(numbers, files);
      one.checkpoint = *number;
      one.epoch_seen = numbers.epoch;
      one.kind = contains_metadata(files) ? FoundSnapshot::Kind::complete
                                          : FoundSnapshot::Kind::incomplete;
    } else {
      const auto number = numbered(entry.name, savepoint_prefix);
      if (!number) continue;
      one.checkpoint = *number;
      one.kind = FoundSnapshot::Kind::savepoint_pointer;
    }
    found.push_back(std::move(one));
  }
  std::ranges::stable_sort(found, {}, &FoundSnapshot::checkpoint);
  return found;
}

Result<std::vector<FoundSnapshot>> scan_checkpoints(CheckpointStorage& storage,
                                                    const std::string& directory) {
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, directory));
  std::vector<FoundSnapshot> found;
  for (const auto& entry : entries) {  // names are sorted, and so are job ids
    const auto job = parse_job_id(entry.name);
    if (!entry.is_directory || entry.is_symlink || !job) continue;
    WEIR_TRY_ASSIGN(of_job, scan_job(storage, directory, *job));
    std::ranges::move(of_job, std::back_inserter(found));
  }
  return found;
}

Result<RecoveryPoints> find_recovery_points(CheckpointStorage& storage,
                                            std::span<const std::string> directories,
                                            const std::string& job_name) {
  struct Candidate {
    std::vector<RecoveryPoint> points;
    bool readable = false;  ///< a name could be read
    bool wanted = false;    ///< and it is `job_name`
    std::int64_t completed_at_ms = 0;
  };
  std::map<JobId, Candidate> jobs;
  for (const std::string& directory : directories) {
    WEIR_TRY_ASSIGN(found, scan_checkpoints(storage, directory));
    for (const auto& snapshot : found) {
      if (snapshot.kind == FoundSnapshot::Kind::incomplete) continue;
      WEIR_TRY_ASSIGN(read, read_point(storage, snapshot));
      if (!read) continue;
      Candidate& candidate = jobs[snapshot.job];
      const bool has_name = !read->job_name.empty();
      candidate.readable = candidate.readable || has_name;
      candidate.wanted = candidate.wanted || (has_name && read->job_name == job_name);
      candidate.completed_at_ms = std::max(candidate.completed_at_ms, read->point.completed_at_ms);
      candidate.points.push_back(std::move(read->point));
    }
  }
  RecoveryPoints result;
  Candidate* newest = nullptr;
  for (auto& [job, candidate] : jobs) {
    sort_newest_first(candidate.points);
    if (!candidate.readable)
      std::ranges::move(candidate.points, std::back_inserter(result.nameless));
    if (!candidate.wanted) continue;
    if (newest == nullptr || candidate.completed_at_ms > newest->completed_at_ms)
      newest = &candidate;
  }
  if (newest == nullptr) return result;
  result.points = std::move(newest->points);
  for (const std::string& directory : directories) {
    WEIR_TRY_ASSIGN(finished, find_finished(storage, directory, job_name));
    if (!finished || finished->finished_at_ms < newest->completed_at_ms) continue;
    if (!result.finished || finished->finished_at_ms > result.finished->finished_at_ms)
      result.finished = std::move(*finished);
  }
  return result;
}

Result<HighestFound> find_highest(CheckpointStorage& storage, const std::string& directory,
                                  const JobId& job) {
  HighestFound highest;
  WEIR_TRY_ASSIGN(found, scan_job(storage, directory, job));
  for (const auto& snapshot : found) {
    raise(highest, snapshot.checkpoint, snapshot.epoch_seen);
    if (snapshot.kind == FoundSnapshot::Kind::incomplete) continue;
    WEIR_TRY_ASSIGN(read, read_point(storage, snapshot));
    if (read) raise(highest, snapshot.checkpoint, read->point.epoch);
  }
  const std::string job_path = job_directory(directory, job);
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, job_path));
  for (const auto& entry : entries)
    if (const auto said = said_by_name(entry.name)) raise(highest, said->checkpoint, said->epoch);
  WEIR_TRY_ASSIGN(shared, list_or_empty(storage, child(job_path, shared_name)));
  raise_by_names(highest, shared);
  return highest;
}

Result<std::vector<std::string>> delete_orphans(CheckpointStorage& storage,
                                                const std::string& directory, const JobId& job) {
  const std::string job_path = job_directory(directory, job);
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, job_path));
  std::vector<std::string> removed;
  SharedFiles shared;
  bool has_shared = false;
  for (const auto& entry : entries) {
    if (entry.is_symlink || entry.name == lock_name) continue;
    const std::string path = child(job_path, entry.name);
    if (entry.is_directory) {
      has_shared = has_shared || entry.name == shared_name;
      if (numbered(entry.name, checkpoint_prefix))
        WEIR_TRY(delete_checkpoint_orphans(storage, path, shared, removed));
      continue;
    }
    const bool is_temporary = entry.name.starts_with('.');
    if (is_temporary) WEIR_TRY(remove_orphan(storage, path, removed));
  }
  WEIR_TRY(make_durable_if_there(storage, job_path));
  // Last: while a checkpoint is there, so are its files.
  if (has_shared)
    WEIR_TRY(delete_shared_orphans(storage, child(job_path, shared_name), shared, removed));
  return removed;
}

Status delete_shared_files_of(CheckpointStorage& storage, const std::string& directory,
                              CheckpointId checkpoint) {
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, directory));
  Status result;
  for (const auto& entry : entries) {
    const auto numbers = numbers_in_data_file(entry.name);
    if (entry.is_directory || entry.is_symlink || !numbers || numbers->second != checkpoint)
      continue;
    const Status removed = storage.remove(child(directory, entry.name));
    if (!removed && result) result = removed;  // go on: what can be removed is
  }
  return result;
}

Status remove_job_directory_if_empty(CheckpointStorage& storage, const std::string& directory,
                                     const JobId& job) {
  const std::string job_path = job_directory(directory, job);
  WEIR_TRY_ASSIGN(entries, list_or_empty(storage, job_path));
  const bool only_ours = std::ranges::all_of(entries, [](const DirectoryEntry& entry) {
    return entry.name == lock_name || said_by_name(entry.name) ||
           (entry.name == shared_name && entry.is_directory);
  });
  if (entries.empty() || !only_ours) return {};
  const std::string shared = child(job_path, shared_name);
  WEIR_TRY_ASSIGN(files, list_or_empty(storage, shared));
  if (!files.empty()) return {};
  for (const auto& entry : entries)
    if (entry.name != lock_name) WEIR_TRY(storage.remove(child(job_path, entry.name)));
  WEIR_TRY(storage.remove(child(job_path, lock_name)));
  return storage.remove(job_path);
}

}  // namespace weir
