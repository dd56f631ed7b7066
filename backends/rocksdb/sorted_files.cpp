#include "backends/rocksdb/sorted_files.hpp"

#include "backends/rocksdb/stored_value.hpp"

namespace weir {

Status SortedFiles::put(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                        std::string_view value) {
  return change(family, key, value, 0);
}

Status SortedFiles::remove(rocksdb::ColumnFamilyHandle* family, std::string_view key) {
  return change(family, key, std::nullopt, 0);
}

Status SortedFiles::change(rocksdb::ColumnFamilyHandle* family, std::string_view key,
                           std::optional<std::string_view> value, std::uint32_t run) {
  WEIR_TRY(open_for(family));
  rocksdb::Status added;
  count(key.size());
  if (!value) {
    added = writer_->Delete(slice_of(key));
  } else {
    stored_ = *value;
    append_trailer(stored_, {run, run == 0 ? 0 : static_cast<std::uint32_t>(value->size())});
    count(stored_.size());
    added = run == 0 ? writer_->Put(slice_of(key), slice_of(stored_))
                     : writer_->Merge(slice_of(key), slice_of(stored_));
  }
  return to_error(added, families_.back().external_files.back() + ": cannot write");
}

Status SortedFiles::open_for(rocksdb::ColumnFamilyHandle* family) {
  const bool is_new = families_.empty() || families_.back().column_family != family;
  const bool is_full = file_bytes_ > database_.options().target_file_size_base;
  if (writer_ && (is_new || is_full)) WEIR_TRY(finish_file());
  if (is_new) {
    families_.emplace_back().column_family = family;
    families_.back().options.move_files = true;
    // The number that makes a file newer than others is in the database's list of files alone.
    families_.back().options.write_global_seqno = false;
  }
  if (writer_) return {};
  const std::string path = database_.new_file();
  families_.back().external_files.push_back(path);
  file_bytes_ = 0;
  // What is written now is read soon: the page cache shall keep it.
  constexpr bool invalidate_page_cache = false;
  writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), database_.options(),
                                                     family, invalidate_page_cache);
  return to_error(writer_->Open(path), path + ": cannot create");
}

Status SortedFiles::finish_file() {
  WEIR_TRY(to_error(writer_->Finish(), families_.back().external_files.back() + ": cannot finish"));
  writer_.reset();
  return {};
}

Status SortedFiles::ingest() {
  if (writer_) WEIR_TRY(finish_file());
  if (families_.empty()) return {};
  return to_error(database_.db().IngestExternalFiles(families_),
                  database_.path() + ": cannot take in sorted files");
}

void SortedFiles::abandon() {
  writer_.reset();
  for (const rocksdb::IngestExternalFileArg& family : families_)
    for (const std::string& file : family.external_files) database_.remove_file(file);
}

}  // namespace weir
