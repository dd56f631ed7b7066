#include "connectors/held_files.hpp"

#include <algorithm>

#include "connectors/file_committer.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

Result<std::set<std::string>> files_held_by(CheckpointStorage& storage,
                                            const std::string& directory) {
  WEIR_TRY_ASSIGN(const metadata, read_metadata(storage, directory));
  std::set<std::string> held;
  for (const OperatorSnapshot& one : metadata.operators)
    for (const OperatorSubtaskSnapshot& subtask : one.subtasks)
      for (const OperatorStateHandle& handle : subtask.operator_states) {
        const auto declared = std::ranges::find(one.states, handle.state, &StateDeclaration::name);
        if (declared == one.states.end() || declared->value != schema_of<PreCommittedFile>())
          continue;
        WEIR_TRY_ASSIGN(source,
                        make_source(storage, directory, metadata.locations[handle.location]));
        WEIR_TRY_ASSIGN(bytes, source->read(handle.offset, handle.length));
        for (std::size_t i = 0; i < handle.elements.size(); ++i) {
          const std::uint64_t end =
              i + 1 < handle.elements.size() ? handle.elements[i + 1] : handle.length;
          WEIR_TRY_ASSIGN(file, decode_value<PreCommittedFile>(
                                    bytes.substr(handle.elements[i], end - handle.elements[i]),
                                    directory + ": an output file"));
          held.insert(file.directory + "/" + committed_file_name(file.name, file.covered_by));
        }
      }
  return held;
}

}  // namespace weir
