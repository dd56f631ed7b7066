#include "backends/rocksdb/database_files.hpp"

#include <utility>

#include <rocksdb/metadata.h>

#include "state/bytes.hpp"

namespace weir {

namespace {

std::uint32_t group_of(std::string_view key) { return ByteReader(key).big_endian<std::uint16_t>(); }

}  // namespace

Result<std::unique_ptr<DatabaseFiles>> DatabaseFiles::take(
    std::shared_ptr<RocksDBDatabase> database,
    const std::vector<rocksdb::ColumnFamilyHandle*>& families,
    std::shared_ptr<const KnownFiles> base) {
  std::unique_ptr<DatabaseFiles> taken(new DatabaseFiles(std::move(database), std::move(base)));
  rocksdb::DB& db = taken->database_->db();
  const std::string what = taken->database_->path() + ": cannot hold on to its files";
  // A compaction may end meanwhile: what it replaces has to be there until it is linked.
  WEIR_TRY(to_error(db.DisableFileDeletions(), what));
  taken->list(families);
  taken->find_known();
  const Status held = taken->link();
  constexpr bool whoever_else_has_disabled_it = false;
  const Status enabled = to_error(db.EnableFileDeletions(whoever_else_has_disabled_it), what);
  WEIR_TRY(held);
  WEIR_TRY(enabled);
  return taken;
}

void DatabaseFiles::list(const std::vector<rocksdb::ColumnFamilyHandle*>& families) {
  for (rocksdb::ColumnFamilyHandle* family : families) {
    rocksdb::ColumnFamilyMetaData metadata;
    database_->db().GetColumnFamilyMetaData(family, &metadata);
    std::vector<File>& files = files_.emplace_back();
    for (const rocksdb::LevelMetaData& level : metadata.levels)
      for (const rocksdb::SstFileMetaData& one : level.files) {
        File& file = files.emplace_back();
        file.number = one.file_number;
        file.path = one.directory + "/" + one.relative_filename;
        file.size_bytes = one.size;
        file.listed.level = static_cast<std::uint8_t>(level.level);
        file.listed.first_group = group_of(one.smallestkey);
        file.listed.last_group = group_of(one.largestkey);
        file.listed.smallest_sequence = one.smallest_seqno;
        file.listed.largest_sequence = one.largest_seqno;
      }
  }
}

void DatabaseFiles::find_known() {
  if (base_ == nullptr) return;
  std::map<const DataLocation*, std::uint64_t> used;  // bytes; looked up, never walked
  for (std::vector<File>& files : files_)
    for (File& file : files) {
      const auto known = base_->find(file.number);
      if (known == base_->end() || known->second.extent.length != file.size_bytes) continue;
      file.known = &known->second;
      used[known->second.location.get()] += file.size_bytes;
    }
  for (std::vector<File>& files : files_)
    for (File& file : files)
      if (file.known != nullptr && used[file.known->location.get()] * 2 < file.known->written_bytes)
        file.known = nullptr;
}

Status DatabaseFiles::link() {
  for (std::vector<File>& files : files_)
    for (File& file : files) {
      if (file.known != nullptr) {
        file.listed.written_bytes = file.known->written_bytes;
        continue;
      }
      const std::string link = database_->new_file();
      WEIR_TRY(database_->files().link(file.path, link));
      file.link = link;
    }
  const std::uint64_t written_bytes = linked_bytes();
  for (std::vector<File>& files : files_)
    for (File& file : files)
      if (file.known == nullptr) file.listed.written_bytes = written_bytes;
  return {};
}

std::uint64_t DatabaseFiles::linked_bytes() const {
  std::uint64_t bytes = 0;
  for (const std::vector<File>& files : files_)
    for (const File& file : files)
      if (!file.link.empty()) bytes += file.size_bytes;
  return bytes;
}

DatabaseFiles::~DatabaseFiles() {
  for (const std::vector<File>& files : files_)
    for (const File& file : files)
      if (!file.link.empty()) database_->remove_file(file.link);
}

}  // namespace weir
