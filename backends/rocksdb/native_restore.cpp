#include "backends/rocksdb/native_restore.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <rocksdb/iterator.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table_properties.h>

#include "state/bytes.hpp"
#include "state/codec.hpp"

namespace weir {

namespace {

constexpr std::uint64_t copied_piece_bytes = std::uint64_t{1} << 20;
constexpr std::size_t entries_piece_bytes = std::size_t{256} << 10;
/// Blocks of a database that is read once, from its beginning to its end.
constexpr std::size_t cache_bytes = std::size_t{8} << 20;
/// A list with the sequence numbers of an older database must not use up those of the one that takes it in.
constexpr std::uint64_t largest_sequence = std::uint64_t{1} << 48;
/// Of every database of ours.
constexpr std::uint8_t levels = 7;
/// The property that `SstFileWriter` gives its files: their entries have the sequence number that the database's
/// list of files gives them.
constexpr std::string_view external_file_property = "rocksdb.external_sst_file.version";

std::unexpected<Error> damaged(const RestoredExtent& extent, const std::string& reason) {
  return error(Errc::corruption, extent.source->name() + ": file " +
                                     std::to_string(extent.group.group) + " at offset " +
                                     std::to_string(extent.group.offset) + ": " + reason);
}

std::string group_prefix(std::uint32_t group) {
  std::string prefix;
  ByteWriter(prefix).big_endian(static_cast<std::uint16_t>(group));
  return prefix;
}

bool is_plausible(const ListedFile& file, KeyGroupRange groups) {
  return file.level < levels && file.first_group <= file.last_group &&
         groups.contains(file.first_group) && groups.contains(file.last_group) &&
         file.smallest_sequence <= file.largest_sequence &&
         file.largest_sequence < largest_sequence;
}

/// The entries of one part.
class DatabaseEntries final : public NativeEntries {
 public:
  DatabaseEntries(RocksDBDatabase& database, NativePart part, KeyGroupRange groups)
      : database_(database), part_(std::move(part)), groups_(groups), copies_(database) {}
  ~DatabaseEntries() override { (void)close(); }

  [[nodiscard]] bool done() const override { return done_; }

  Result<std::span<const EntryView>> next() override {
    views_.clear();
    if (!list_) {
      WEIR_TRY_ASSIGN(list, read_file_list(part_));
      list_ = std::move(list);
      copies_.add(part_, *list_, groups_);
      done_ = copies_.copies().empty();
    } else if (!copies_.done()) {
      WEIR_TRY(copies_.copy_some());
    } else if (entries_ == nullptr) {
      WEIR_TRY(open());
    } else {
      WEIR_TRY(read_some());
    }
    return views_;
  }

 private:
  Status open() {
    WEIR_TRY_ASSIGN(family, database_.import_column_family("restored", copies_.metadata()));
    family_ = family;
    begin_ = group_prefix(std::max(groups_.first, list_->groups.first));
    end_ = group_prefix(std::min(groups_.end, list_->groups.end));
    end_slice_ = slice_of(end_);
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &end_slice_;
    options.fill_cache = false;
    entries_.reset(database_.db().NewIterator(options, family_));
    entries_->Seek(slice_of(begin_));
    return {};
  }

  Status read_some() {
    bytes_.clear();
    std::vector<std::pair<std::size_t, std::size_t>> lengths;  // of key and value
    for (; entries_->Valid() && bytes_.size() < entries_piece_bytes; entries_->Next()) {
      WEIR_TRY_ASSIGN(value, database_.canonical(entries_->value()));
      lengths.emplace_back(entries_->key().size(), value.size());
      bytes_ += view_of(entries_->key());
      bytes_ += value;
    }
    WEIR_TRY(to_error(entries_->status(), part_.front().source->name() + ": its copy in " +
                                              database_.path() + " cannot be read"));
    std::string_view rest = bytes_;
    for (const auto& [key, value] : lengths) {
      views_.push_back({rest.substr(0, key), rest.substr(key, value)});
      rest.remove_prefix(key + value);
    }
    done_ = !entries_->Valid();
    return done_ ? close() : Status();
  }

  Status close() {
    entries_.reset();
    rocksdb::ColumnFamilyHandle* const family = std::exchange(family_, nullptr);
    return family == nullptr ? Status() : database_.drop_column_family(family);
  }

  RocksDBDatabase& database_;
  const NativePart part_;
  const KeyGroupRange groups_;
  std::optional<FileList> list_;
  FileCopies copies_;
  rocksdb::ColumnFamilyHandle* family_ = nullptr;
  std::string begin_;
  std::string end_;
  rocksdb::Slice end_slice_;
  std::unique_ptr<rocksdb::Iterator> entries_;
  bool done_ = false;
  std::string bytes_;  // that `views_` look at
  std::vector<EntryView> views_;
};

}  // namespace

Result<FileList> read_file_list(const NativePart& part) {
  const RestoredExtent& extent = part.front();
  // Its length follows from the number of files, so that no more is read than that.
  FileList list;
  list.files.resize(part.size() - 1);
  if (extent.group.length != encode_value(list).size())
    return damaged(extent, "the list of files has not the length for " +
                               std::to_string(part.size() - 1) + " files");
  WEIR_TRY_ASSIGN(bytes, extent.source->read(extent.group.offset, extent.group.length));
  if (hash_bytes(bytes) != extent.group.checksum)
    return damaged(extent, "the checksum of the list of files does not match");
  WEIR_TRY_ASSIGN(decoded,
                  decode_value<FileList>(bytes, extent.source->name() + ": the list of files"));
  if (decoded.files.size() != list.files.size() || decoded.groups.first >= decoded.groups.end ||
      decoded.groups.end > max_key_groups)
    return damaged(extent, "the list of files is damaged");
  for (std::size_t i = 0; i < decoded.files.size(); ++i)
    if (!is_plausible(decoded.files[i], decoded.groups))
      return damaged(extent, "what the list says of file " + std::to_string(i + 1) + " cannot be");
  return decoded;
}

void FileCopies::add(const NativePart& part, const FileList& list, KeyGroupRange groups) {
  for (std::size_t i = 0; i < list.files.size(); ++i) {
    const ListedFile& file = list.files[i];
    if (file.first_group < groups.end && groups.first <= file.last_group)
      copies_.push_back({part[i + 1], file, {}});
  }
}

Status FileCopies::copy_some() {
  Copy& copy = copies_[next_];
  const KeyGroupExtent& file = copy.extent.group;
  if (output_ == nullptr) {
    const std::string path = database_.new_file();
    WEIR_TRY_ASSIGN(output, database_.files().create(path));
    output_ = std::move(output);
    copy.path = path;
    copied_bytes_ = 0;
    XXH3_64bits_reset(&hash_);
  }
  const std::uint64_t size = std::min(copied_piece_bytes, file.length - copied_bytes_);
  WEIR_TRY_ASSIGN(piece, copy.extent.source->read(file.offset + copied_bytes_, size));
  if (piece.size() != size) return damaged(copy.extent, "the source ended early");
  XXH3_64bits_update(&hash_, piece.data(), piece.size());
  WEIR_TRY(output_->append(piece));
  copied_bytes_ += size;
  if (copied_bytes_ < file.length) return {};
  WEIR_TRY(output_->close());
  output_.reset();
  if (XXH3_64bits_digest(&hash_) != file.checksum)
    return damaged(copy.extent, "the checksum does not match");
  ++next_;
  return {};
}

std::vector<rocksdb::LiveFileMetaData> FileCopies::metadata() const {
  std::vector<rocksdb::LiveFileMetaData> files;
  for (const Copy& copy : copies_) {
    rocksdb::LiveFileMetaData& file = files.emplace_back();
    const std::size_t slash = copy.path.rfind('/');
    file.db_path = copy.path.substr(0, slash);
    file.name = copy.path.substr(slash);
    file.size = copy.extent.group.length;
    file.level = copy.listed.level;
    file.smallest_seqno = copy.listed.smallest_sequence;
    file.largest_seqno = copy.listed.largest_sequence;
  }
  return files;
}

void FileCopies::abandon() {
  output_.reset();
  for (Copy& copy : copies_)
    if (!copy.path.empty()) database_.remove_file(std::exchange(copy.path, {}));
}

Result<FileImport::Outcome> FileImport::next() {
  if (next_part_ < parts_.size()) {
    const NativePart& part = parts_[next_part_++];
    WEIR_TRY_ASSIGN(list, read_file_list(part));
    if (list.groups.first < groups_.first || list.groups.end > groups_.end) return Outcome::unfit;
    copies_.add(part, list, groups_);
    return Outcome::pending;
  }
  if (!copies_.done()) {
    WEIR_TRY(copies_.copy_some());
    return Outcome::pending;
  }
  return import();
}

Result<FileImport::Outcome> FileImport::import() {
  std::vector<rocksdb::LiveFileMetaData> files = copies_.metadata();
  if (files.empty()) return Outcome::unfit;
  if (parts_.size() > 1) {
    WEIR_TRY_ASSIGN(joined, join(files));
    if (!joined) return Outcome::unfit;
  }
  WEIR_TRY_ASSIGN(family, database_.import_column_family(name_, std::move(files), expiry_));
  family_ = family;
  note_known();
  WEIR_TRY(database_.allow_compactions(family));
  return Outcome::imported;
}

/// Files of several databases have no key in common, but those of level 0 must differ in their sequence numbers, which
/// do not say anything across databases. Those that were ingested have it from the list alone: they get new
/// ones, above all others. False if others are among them.
Result<bool> FileImport::join(std::vector<rocksdb::LiveFileMetaData>& files) const {
  std::uint64_t sequence = 0;
  std::vector<rocksdb::LiveFileMetaData*> level_0;
  for (rocksdb::LiveFileMetaData& file : files) {
    sequence = std::max<std::uint64_t>(sequence, file.largest_seqno);
    if (file.level == 0) level_0.push_back(&file);
  }
  std::ranges::stable_sort(level_0, {}, [](const auto* file) { return file->largest_seqno; });
  for (rocksdb::LiveFileMetaData* file : level_0) {
    rocksdb::SstFileReader reader(database_.options());
    const std::string path = file->db_path + file->name;
    WEIR_TRY(to_error(reader.Open(path), path + ": cannot read the copy of a file"));
    const auto& properties = reader.GetTableProperties()->user_collected_properties;
    if (!properties.contains(std::string(external_file_property))) return false;
    file->smallest_seqno = file->largest_seqno = ++sequence;
  }
  return true;
}

/// Imported files have ascending numbers, and nothing has been compacted yet. If that is not so, later
/// checkpoints write more than they need.
void FileImport::note_known() {
  rocksdb::ColumnFamilyMetaData metadata;
  database_.db().GetColumnFamilyMetaData(family_, &metadata);
  std::map<std::uint64_t, std::uint64_t> sizes;  // by number
  for (const rocksdb::LevelMetaData& level : metadata.levels)
    for (const rocksdb::SstFileMetaData& file : level.files)
      sizes.emplace(file.file_number, file.size);
  const auto& copies = copies_.copies();
  const bool as_they_were = std::ranges::equal(
      sizes, copies, {}, [](const auto& file) { return file.second; },
      [](const FileCopies::Copy& copy) { return copy.extent.group.length; });
  if (!as_they_were) return;
  std::size_t i = 0;
  for (const auto& [number, size] : sizes) {
    const FileCopies::Copy& copy = copies[i++];
    const bool stays = copy.extent.location->shared || copy.extent.location->file.empty();
    if (stays)
      known_[number] = {copy.extent.location, copy.extent.group, copy.listed.written_bytes};
  }
}

Result<std::unique_ptr<NativeStates>> DatabaseStates::create(const DatabaseSeams& seams,
                                                             const std::string& directory) {
  WEIR_TRY_ASSIGN(database,
                  RocksDBDatabase::create(seams, directory, rocksdb::NewLRUCache(cache_bytes)));
  database->remove_when_closed();
  return std::make_unique<DatabaseStates>(std::move(database));
}

std::unique_ptr<NativeEntries> DatabaseStates::open(NativePart part, KeyGroupRange groups) {
  return std::make_unique<DatabaseEntries>(*database_, std::move(part), groups);
}

}  // namespace weir
