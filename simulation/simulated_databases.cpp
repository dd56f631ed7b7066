#include "simulation/simulated_databases.hpp"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include "backends/rocksdb/rocksdb_database.hpp"
#include "simulation/path_parts.hpp"
#include "state/remove_tree.hpp"

namespace weir {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

/// Of so many opportunities one is taken, at least and at most.
constexpr std::uint64_t opportunities_per_merge[] = {1, 32};
constexpr std::size_t table_bytes_drawn[] = {24 << 10, 32 << 10,  48 << 10,
                                             64 << 10, 128 << 10, 4 << 20};
/// In one of so many runs tables have no memory at all, which takes ten times as long.
constexpr std::uint64_t runs_without_tables = 12;
constexpr std::size_t block_cache_bytes = 512 << 10;

/// As PosixFileSystem answers.
std::unexpected<Error> failure(const IOStatus& status, const std::string& path,
                               std::string_view action) {
  const Errc code =
      status.IsNotFound() || status.IsPathNotFound() ? Errc::not_found : Errc::io_error;
  return error(code, path + ": cannot " + std::string(action) + ": " + status.ToString());
}

Status done(const IOStatus& status, const std::string& path, std::string_view action) {
  if (!status.ok()) return failure(status, path, action);
  return {};
}

class Output final : public OutputFile {
 public:
  Output(std::unique_ptr<rocksdb::FSWritableFile> file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}
  Status append(std::string_view bytes) override {
    return done(file_->Append(slice_of(bytes), IOOptions(), nullptr), path_, "append");
  }
  Status sync() override { return {}; }
  Status close() override { return done(file_->Close(IOOptions(), nullptr), path_, "close"); }

 private:
  const std::unique_ptr<rocksdb::FSWritableFile> file_;
  const std::string path_;
};

class Input final : public InputFile {
 public:
  Input(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string path, std::uint64_t size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}
  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    rocksdb::Slice read;
    WEIR_TRY(done(file_->Read(offset, size, IOOptions(), &read, out, nullptr), path_, "read"));
    return read.size();
  }
  Result<std::uint64_t> size() override { return size_; }

 private:
  const std::unique_ptr<rocksdb::FSRandomAccessFile> file_;
  const std::string path_;
  const std::uint64_t size_;
};

}  // namespace

/// RocksDB's view. What lies beside a database may be refused.
class SimulatedDatabases::NativeFiles final : public rocksdb::FileSystemWrapper {
 public:
  NativeFiles(SimulatedDatabases& owner, const std::shared_ptr<rocksdb::FileSystem>& memory)
      : FileSystemWrapper(memory), owner_(owner) {}
  [[nodiscard]] const char* Name() const override { return "weir.SimulatedDatabases"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* debug) override {
    if (RocksDBDatabase::is_new_file(std::string(name_of(path))) && owner_.refuses())
      return IOStatus::NoSpace(path, "the seed wants it");
    return target()->NewWritableFile(path, options, result, debug);
  }

 private:
  SimulatedDatabases& owner_;
};

/// Our view of the same files.
class SimulatedDatabases::Files final : public FileSystem {
 public:
  Files(SimulatedDatabases& owner, std::shared_ptr<rocksdb::FileSystem> memory)
      : owner_(owner), memory_(std::move(memory)) {}

  Result<std::unique_ptr<OutputFile>> create(const std::string& path) override {
    if (owner_.refuses()) return failure(IOStatus::NoSpace("the seed wants it"), path, "create");
    if (exists(path)) return error(Errc::already_exists, path + ": it exists");
    std::unique_ptr<rocksdb::FSWritableFile> file;
    const IOStatus made = memory_->NewWritableFile(path, rocksdb::FileOptions(), &file, nullptr);
    if (!made.ok()) return failure(made, path, "create");
    return std::make_unique<Output>(std::move(file), path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    owner_.merge_meanwhile();
    std::uint64_t size = 0;
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    IOStatus opened = memory_->GetFileSize(path, IOOptions(), &size, nullptr);
    if (opened.ok())
      opened = memory_->NewRandomAccessFile(path, rocksdb::FileOptions(), &file, nullptr);
    if (!opened.ok()) return failure(opened, path, "open");
    return std::make_unique<Input>(std::move(file), path, size);
  }
  Status rename_no_replace(const std::string& from, const std::string&) override {
    return error(Errc::unsupported, from + ": nobody renames working files");
  }
  Status sync_directory(const std::string&) override { return {}; }
  Status make_directory(const std::string& path) override {
    if (exists(path)) return error(Errc::already_exists, path + ": it exists");
    directories_.insert(path);
    return done(memory_->CreateDir(path, IOOptions(), nullptr), path, "make");
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    std::vector<std::string> names;
    const IOStatus listed = memory_->GetChildren(directory, IOOptions(), &names, nullptr);
    if (!listed.ok()) return failure(listed, directory, "list");
    std::ranges::sort(names);
    std::vector<DirectoryEntry> entries;
    for (const std::string& name : names) {
      WEIR_TRY_ASSIGN(entry, stat(directory + "/" + name));
      entries.push_back(entry);
    }
    return entries;
  }
  Result<DirectoryEntry> stat(const std::string& path) override {
    if (!exists(path)) return error(Errc::not_found, path + ": it is not there");
    DirectoryEntry entry;
    entry.name = name_of(path);
    entry.is_directory = directories_.contains(path);
    if (entry.is_directory) return entry;
    WEIR_TRY(
        done(memory_->GetFileSize(path, IOOptions(), &entry.size_bytes, nullptr), path, "look at"));
    // A directory of RocksDB's has files in it.
    std::vector<std::string> names;
    entry.is_directory = entry.size_bytes == 0 &&
                         memory_->GetChildren(path, IOOptions(), &names, nullptr).ok() &&
                         !names.empty();
    return entry;
  }
  Status remove(const std::string& path) override {
    directories_.erase(path);
    return done(memory_->DeleteFile(path, IOOptions(), nullptr), path, "remove");
  }
  Status link(const std::string& from, const std::string& to) override {
    owner_.merge_meanwhile();
    if (owner_.refuses()) return failure(IOStatus::NoSpace("the seed wants it"), to, "link");
    return done(memory_->LinkFile(from, to, IOOptions(), nullptr), from, "link");
  }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& directory) override {
    return error(Errc::unsupported, directory + ": nobody locks working directories");
  }

 private:
  bool exists(const std::string& path) {
    return directories_.contains(path) || memory_->FileExists(path, IOOptions(), nullptr).ok();
  }

  SimulatedDatabases& owner_;
  const std::shared_ptr<rocksdb::FileSystem> memory_;
  std::set<std::string> directories_{"/"};  ///< that were made here
};

SimulatedDatabases::SimulatedDatabases(std::uint64_t seed, std::size_t table_bytes)
    : random_(seed),
      table_bytes_(table_bytes),
      opportunities_per_merge_(
          random_.between(opportunities_per_merge[0], opportunities_per_merge[1])),
      memory_(rocksdb::NewMemEnv(rocksdb::Env::Default())),
      files_(std::make_unique<Files>(*this, memory_->GetFileSystem())) {
  auto seams = std::make_shared<DatabaseSeams>(
      *files_, std::make_shared<NativeFiles>(*this, memory_->GetFileSystem()));
  seams->opened = [this](const std::shared_ptr<RocksDBDatabase>& database) { note(database); };
  seams_ = std::move(seams);
}

SimulatedDatabases::~SimulatedDatabases() = default;

std::size_t SimulatedDatabases::draw_table_bytes(SeededRandom& random) {
  if (random.one_in(runs_without_tables)) return 0;
  return table_bytes_drawn[random.below(std::size(table_bytes_drawn))];
}

RocksDBStateBackend::Options SimulatedDatabases::options(
    const RocksDBStateBackend::Options& configured) const {
  RocksDBStateBackend::Options options = configured;
  options.memory_bytes = table_bytes_ + block_cache_bytes;
  options.table_ratio =
      static_cast<double>(table_bytes_) / static_cast<double>(options.memory_bytes);
  options.entry_limit_bytes =
      std::max(configured.entry_limit_bytes,
               static_cast<std::size_t>(static_cast<double>(configured.memory_bytes) *
                                        configured.table_ratio));
  options.seams = seams_;
  return options;
}

void SimulatedDatabases::note(const std::shared_ptr<RocksDBDatabase>& database) {
  // What a crash has left of others is in nobody's way, but takes memory and time.
  std::erase_if(databases_, [&](const Opened& other) {
    if (!other.database.expired()) return false;
    if (other.directory != database->directory()) remove_tree(*files_, other.directory);
    return true;
  });
  databases_.push_back({database, database->directory()});
}

bool SimulatedDatabases::refuses() {
  if (!refusal_) return false;
  if (refusal_->at > 1) {
    --refusal_->at;
    return false;
  }
  if (--refusal_->times == 0) refusal_.reset();
  ++refused_;
  return true;
}

void SimulatedDatabases::refuse_files(std::uint64_t at, std::uint64_t times) {
  refusal_ = Refusal{at, times};
}

void SimulatedDatabases::merge_meanwhile() {
  // What a merge itself writes is no use by a snapshot.
  if (!merging_) (void)merge_some();
}

std::vector<std::shared_ptr<RocksDBDatabase>> SimulatedDatabases::open() const {
  std::vector<std::shared_ptr<RocksDBDatabase>> open;
  for (const auto& one : databases_)
    if (auto database = one.database.lock(); database && !database->families().empty())
      open.push_back(std::move(database));
  return open;
}

void SimulatedDatabases::merge_all() {
  for (const auto& database : open())
    for (rocksdb::ColumnFamilyHandle* family : database->families()) {
      rocksdb::ColumnFamilyMetaData metadata;
      database->db().GetColumnFamilyMetaData(family, &metadata);
      std::vector<std::string> names;
      for (const rocksdb::LevelMetaData& level : metadata.levels)
        for (const rocksdb::SstFileMetaData& file : level.files) names.push_back(file.name);
      if (!names.empty()) (void)merge(*database, family, names, metadata.levels.size() - 1);
    }
}

bool SimulatedDatabases::merge(RocksDBDatabase& database, rocksdb::ColumnFamilyHandle* family,
                               const std::vector<std::string>& names, std::size_t to) {
  rocksdb::CompactionOptions options;
  options.compression = rocksdb::kDisableCompressionOption;
  merging_ = true;
  const rocksdb::Status merged =
      database.db().CompactFiles(options, family, names, static_cast<int>(to));
  merging_ = false;
  ++merges_;
  return merged.ok();
}

std::string SimulatedDatabases::merge_some() {
  if (!random_.one_in(opportunities_per_merge_)) return {};
  const auto all_open = open();
  if (all_open.empty()) return {};
  RocksDBDatabase& database = *all_open[random_.below(all_open.size())];
  const auto families = database.families();
  rocksdb::ColumnFamilyHandle* const family = families[random_.below(families.size())];

  rocksdb::ColumnFamilyMetaData metadata;
  database.db().GetColumnFamilyMetaData(family, &metadata);
  const std::size_t last = metadata.levels.size() - 1;
  std::vector<std::size_t> filled;
  for (std::size_t level = 0; level <= last; ++level)
    if (!metadata.levels[level].files.empty()) filled.push_back(level);
  if (filled.empty()) return {};
  // One level into one below it or into itself, with what overlaps; or all, as far down as it goes.
  const std::size_t from = filled[random_.below(filled.size())];
  const std::size_t to = random_.between(from, last);
  const bool all = random_.one_in(3);
  std::vector<std::string> names;
  for (const std::size_t level : filled) {
    if (!all && level != from) continue;
    const auto& files = metadata.levels[level].files;
    // In level 0 the newest come first, and may stay where they are.
    const std::size_t left = !all && level == 0 ? random_.below(files.size()) : 0;
    for (std::size_t i = left; i < files.size(); ++i) names.push_back(files[i].name);
  }
  const bool merged = merge(database, family, names, all ? last : to);
  return "merge files of '" + family->GetName() + "' in " + database.path() +
         (merged ? "" : ": refused");
}

}  // namespace weir
