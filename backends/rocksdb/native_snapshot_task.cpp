#include "backends/rocksdb/native_snapshot_task.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "state/codec.hpp"
#include "state/extents.hpp"

namespace weir {

namespace {

constexpr std::size_t piece_bytes = std::size_t{1} << 20;

/// Writes the list of a state, which is extent 0 of it.
Result<KeyGroupExtent> write_list(const FileList& list, SnapshotSink& sink) {
  ExtentWriter extent(sink, 0);
  WEIR_TRY(extent.add_raw(encode_value(list), list.files.size()));
  return extent.finish();
}

/// Writes the linked file as extent `number`.
Result<KeyGroupExtent> write_file(FileSystem& files, const DatabaseFiles::File& file,
                                  std::uint32_t number, SnapshotSink& sink) {
  WEIR_TRY_ASSIGN(input, files.open(file.link));
  ExtentWriter extent(sink, number);
  std::string piece;
  for (std::uint64_t at = 0; at < file.size_bytes; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece_bytes, file.size_bytes - at));
    WEIR_TRY_ASSIGN(read, input->read_at(at, piece.data(), piece.size()));
    if (read != piece.size())
      return error(Errc::io_error, file.path + ": it is shorter than RocksDB has written it");
    WEIR_TRY(extent.add_raw(piece, 0));
  }
  return extent.finish();
}

}  // namespace

Result<KeyedSnapshot> NativeSnapshotTask::run(SnapshotSink& sink) {
  WEIR_TRY(queue_->complete(*flush_));
  const std::unique_ptr<DatabaseFiles> files = std::move(cut_->files);
  return write(*files, sink);
}

Result<KeyedSnapshot> NativeSnapshotTask::write(const DatabaseFiles& files, SnapshotSink& sink) {
  KeyedSnapshot snapshot;
  LocationNumbers locations;
  for (std::size_t i = 0; i < options_.states.size(); ++i) {
    const std::string& state = options_.states[i];
    sink.begin_state(state);
    FileList list{options_.groups, {}};
    for (const DatabaseFiles::File& file : files.files()[i]) list.files.push_back(file.listed);
    std::map<std::uint32_t, std::vector<KeyGroupExtent>> extents;  // by location
    if (!list.files.empty()) {
      WEIR_TRY_ASSIGN(extent, write_list(list, sink));
      extents[0].push_back(extent);
    }
    std::uint32_t number = 0;
    for (const DatabaseFiles::File& file : files.files()[i]) {
      KnownFile written;
      ++number;
      if (file.known != nullptr) {
        written = *file.known;
        written.extent.group = number;
      } else {
        WEIR_TRY_ASSIGN(extent, write_file(files.database().files(), file, number, sink));
        written = {nullptr, extent, file.listed.written_bytes};
      }
      extents[locations.number_of(written.location)].push_back(written.extent);
      written_.emplace(file.number, std::move(written));
    }
    // A state without entries has a handle all the same: that it is there.
    if (extents.empty()) snapshot.handles.push_back({state, 0, {}, StateFormat::files, 0});
    for (auto& [location, of_location] : extents)
      snapshot.handles.push_back({state, location, std::move(of_location), StateFormat::files, 0});
  }
  snapshot.reused = std::move(locations).reused();
  return snapshot;
}

void NativeSnapshotTask::payload_durable(const DataLocation& payload) {
  if (options_.remembered == nullptr) return;
  const auto location = std::make_shared<const DataLocation>(payload);
  for (auto& [number, file] : written_)
    if (file.location == nullptr) file.location = location;
  options_.remembered->remember(options_.checkpoint, std::move(written_));
}

}  // namespace weir
