#include "connectors/file_committer.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "runtime/output_directory.hpp"
#include "state/key_groups.hpp"
#include "state/snapshot_io.hpp"

namespace weir {
namespace {

constexpr std::string_view pending_prefix = ".weir-";
constexpr std::string_view pending_suffix = ".pending";
constexpr std::string_view saved_suffix = ".saved";
constexpr std::string_view digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdef";
/// Of the random part, and of the job's id.
constexpr std::size_t random_digits = 12;
/// A longer uid is cut and told apart by its hash; file systems take names of 255 bytes.
constexpr std::size_t uid_bytes_max = 100;

std::string to_hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

std::string tag_of(const JobId& job) { return to_string(job).substr(0, random_digits); }

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

/// Different for different uids; fit for a file name that does not begin with a dot.
std::string encode_uid(std::string_view uid) {
  std::string encoded;
  for (const char c : uid) {
    if (is_plain(c) && !(c == '.' && encoded.empty())) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', hex_digits[byte >> 4], hex_digits[byte & 15]};
    }
  }
  if (encoded.size() <= uid_bytes_max) return encoded;
  return encoded.substr(0, uid_bytes_max) + "~" + to_hex(hash_bytes(uid));
}

bool consists_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

Status check_size(const std::string& path, std::uint64_t size_bytes, const PreCommittedFile& file) {
  if (size_bytes == file.size_bytes) return {};
  return error(Errc::corruption, "output file " + path + " has " + std::to_string(size_bytes) +
                                     " bytes and was closed with " +
                                     std::to_string(file.size_bytes) +
                                     ": restore it or start from another snapshot");
}

/// The parts of a name behind its operator's, as `output_file_name` makes them.
struct NameParts {
  std::string_view job;
  std::string_view rest;  ///< behind the random part
};

/// The parts of `name` if it is one of operator `uid`. Exactly these: operator "a" must not take a file of
/// "a-1" for its own.
std::optional<NameParts> parts_of(std::string_view name, std::string_view uid) {
  const std::string begin = encode_uid(uid) + "-";
  if (!name.starts_with(begin)) return std::nullopt;
  name.remove_prefix(begin.size());
  for (int number = 0; number < 2; ++number) {  // subtask and counter
    const std::size_t end = name.find('-');
    if (end == std::string_view::npos || !consists_of(name.substr(0, end), digits))
      return std::nullopt;
    name.remove_prefix(end + 1);
  }
  if (name.size() < 2 * random_digits + 1 || name[random_digits] != '-') return std::nullopt;
  const std::string_view job = name.substr(0, random_digits);
  if (!consists_of(job, hex_digits) ||
      !consists_of(name.substr(random_digits + 1, random_digits), hex_digits))
    return std::nullopt;
  return NameParts{job, name.substr(2 * random_digits + 1)};
}

}  // namespace

std::string output_file_name(std::string_view uid, std::uint32_t subtask, std::uint64_t counter,
                             const JobId& job, std::uint64_t random) {
  return encode_uid(uid) + "-" + std::to_string(subtask) + "-" + std::to_string(counter) + "-" +
         tag_of(job) + "-" + to_hex(random).substr(0, random_digits);
}

std::string committed_file_name(std::string_view name, CheckpointId covered_by) {
  return std::string(name) + "-" + std::to_string(covered_by.value);
}

std::string pending_file_name(std::string_view name) {
  return std::string(pending_prefix) + std::string(name) + std::string(pending_suffix);
}

std::string saved_file_name(std::string_view name) {
  return std::string(pending_prefix) + std::string(name) + std::string(saved_suffix);
}

bool is_pending_file_of(std::string_view name, std::string_view uid) {
  if (!name.starts_with(pending_prefix) || !name.ends_with(pending_suffix)) return false;
  name.remove_prefix(pending_prefix.size());
  if (name.size() < pending_suffix.size()) return false;
  name.remove_suffix(pending_suffix.size());
  const auto parts = parts_of(name, uid);
  return parts && parts->rest.empty();
}

bool is_unknown_file_of(std::string_view name, std::string_view uid,
                        std::span<const CommittedUpTo> history) {
  auto parts = parts_of(name, uid);
  CheckpointId covered_by;
  if (!parts || !parts->rest.starts_with('-')) return false;
  parts->rest.remove_prefix(1);
  if (!take_number(parts->rest, covered_by.value) || !parts->rest.empty()) return false;
  return std::ranges::none_of(history, [&](const CommittedUpTo& known) {
    return tag_of(known.job) == parts->job && covered_by <= known.checkpoint;
  });
}

FileCommitter::FileCommitter(std::string directory)
    : directory_(directory.substr(0, directory.find_last_not_of('/') + 1)) {}

Status FileCommitter::open(OperatorContext& context) {
  context_ = &context;
  WEIR_TRY_ASSIGN(state, context.operator_state().list_state<PreCommittedFile>(
                             "files", StateKind::operator_union));
  state_ = state;
  WEIR_TRY_ASSIGN(history, context.operator_state().list_state<CommittedUpTo>(
                               "history", StateKind::operator_union));
  history_state_ = history;
  if (context.subtask() != 0) {
    history_state_->update({});
    return {};
  }
  history_ = history_state_->get();

  FileSystem& files = context.files();
  if (auto made = files.create_directories(directory_); !made)
    return unusable_output_directory(directory_, made.error());
  const auto entries = files.list(directory_);
  if (!entries) return unusable_output_directory(directory_, entries.error());
  // Who took the job in has refused committed output before anything was deployed, but only where the plan
  // names the directory, and only what was there then. A sink that refuses has committed nothing.
  WEIR_TRY(context.is_restored() ? refuse_unknown(*entries)
                                 : refuse_committed_output(directory_, *entries));
  WEIR_TRY(commit(state_->get()));
  // What this job will say of itself replaces what it said before.
  std::erase_if(history_, [&](const CommittedUpTo& one) { return one.job == context.job(); });
  WEIR_TRY(remove_leftovers(*entries));
  return try_writing();
}

Status FileCommitter::refuse_unknown(const std::vector<DirectoryEntry>& entries) const {
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || !is_unknown_file_of(entry.name, context_->uid(), history_)) continue;
    return error(
        Errc::already_exists,
        "output directory " + directory_ +
            " holds files that the snapshot does not know, "
            "such as " +
            entry.name +
            ", and going on would write their lines a second time: give another directory, "
            "move those files away, or start from the newest snapshot of the job that wrote them");
  }
  return {};
}

Status FileCommitter::remove_leftovers(const std::vector<DirectoryEntry>& entries) {
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || !is_pending_file_of(entry.name, context_->uid())) continue;
    // One that was committed meanwhile is not there any more.
    const std::string path = directory_ + "/" + entry.name;
    if (auto removed = context_->files().remove(path);
        !removed && removed.error().code != Errc::not_found)
      return removed;
  }
  return {};
}

Status FileCommitter::try_writing() {
  const std::string path = directory_ + "/" +
                           pending_file_name(output_file_name(
                               context_->uid(), 0, 0, context_->job(), context_->random().next()));
  const auto file = context_->files().create(path);
  if (!file) return unusable_output_directory(directory_, file.error());
  return context_->files().remove(path);
}

Status FileCommitter::begin_file() {
  file_name_ = output_file_name(context_->uid(), context_->subtask(), ++counter_, context_->job(),
                                context_->random().next());
  WEIR_TRY_ASSIGN(file, context_->files().create(directory_ + "/" + pending_file_name(file_name_)));
  file_ = std::move(file);
  file_bytes_ = 0;
  return {};
}

Status FileCommitter::write_buffer() {
  WEIR_TRY(file_->append(buffer_));
  file_bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

Status FileCommitter::close_file() {
  if (!file_) return {};
  WEIR_TRY(write_buffer());
  WEIR_TRY(file_->sync());
  WEIR_TRY(file_->close());
  // The file's name must be as durable as its content before a checkpoint relies on it.
  WEIR_TRY(context_->files().sync_directory(directory_));
  file_.reset();
  closed_.push_back({directory_, std::move(file_name_), file_bytes_, CheckpointId{}});
  return {};
}

Status FileCommitter::save_files() {
  bool renamed = false;
  for (const PreCommittedFile& file : closed_) {
    auto saved =
        context_->files().rename_no_replace(file.directory + "/" + pending_file_name(file.name),
                                            file.directory + "/" + saved_file_name(file.name));
    // One that an earlier savepoint holds has that name already.
    if (!saved && saved.error().code != Errc::not_found) return saved;
    renamed = renamed || saved;
  }
  return renamed ? context_->files().sync_directory(directory_) : Status{};
}

void FileCommitter::snapshot(CheckpointId id) {
  WEIR_ASSERT(!file_);
  for (PreCommittedFile& file : closed_)
    if (file.covered_by == CheckpointId{}) file.covered_by = id;
  state_->update(closed_);
  if (context_->subtask() != 0) return;
  std::vector<CommittedUpTo> history = history_;
  history.push_back({context_->job(), id});
  history_state_->update(std::move(history));
}

Status FileCommitter::complete(CheckpointId id) {
  std::vector<PreCommittedFile> covered;
  std::vector<PreCommittedFile> rest;
  for (const PreCommittedFile& file : closed_) {
    const bool is_covered = file.covered_by != CheckpointId{} && file.covered_by <= id;
    (is_covered ? covered : rest).push_back(file);
  }
  WEIR_TRY(commit(covered));
  closed_ = std::move(rest);
  return {};
}

Status FileCommitter::commit(const std::vector<PreCommittedFile>& files) {
  std::set<std::string> directories;
  for (const PreCommittedFile& file : files) {
    WEIR_TRY(commit(file));
    directories.insert(file.directory);
  }
  // Also for names that were there already: whoever gave them may have crashed before this.
  for (const std::string& directory : directories)
    WEIR_TRY(context_->files().sync_directory(directory));
  return {};
}

Status FileCommitter::commit(const PreCommittedFile& file) {
  FileSystem& files = context_->files();
  const std::string to = file.directory + "/" + committed_file_name(file.name, file.covered_by);
  std::optional<std::string> left;
  for (const std::string& name : {pending_file_name(file.name), saved_file_name(file.name)}) {
    const std::string from = file.directory + "/" + name;
    const auto hidden = files.stat(from);
    if (!hidden && hidden.error().code == Errc::not_found) continue;
    if (!hidden) return std::unexpected(hidden.error());
    WEIR_TRY(check_size(from, hidden->size_bytes, file));
    auto renamed = files.rename_no_replace(from, to);
    if (renamed || renamed.error().code != Errc::already_exists) return renamed;
    left = from;
  }
  const auto committed = files.stat(to);
  if (!committed && committed.error().code == Errc::not_found)
    return error(Errc::corruption, "output file " + to +
                                       ", which the snapshot holds, is gone, and " +
                                       pending_file_name(file.name) +
                                       " beside it too: restore it or start from another snapshot");
  if (!committed) return std::unexpected(committed.error());
  WEIR_TRY(check_size(to, committed->size_bytes, file));
  // Both names: a file system that renames by linking crashed before it removed the first. The
  // random part makes sure that it is the same file.
  return left ? files.remove(*left) : Status{};
}

}  // namespace weir
