#include "simulation/scenario/snapshot_values.hpp"

#include <algorithm>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/schema.hpp"
#include "state/snapshot_io.hpp"
#include "state/time_to_live.hpp"

namespace weir {
namespace {

using Json = nlohmann::json;

Result<Json> read_json(const Schema& schema, ByteReader& reader) {
  std::string text;
  WEIR_TRY(append_json(schema, reader, text));
  Json json = Json::parse(text, nullptr, false);
  // Such as a number that is not finite.
  return json.is_discarded() ? Json(text) : json;
}

Result<Json> read_all(const Schema& schema, std::string_view bytes) {
  ByteReader reader(bytes);
  WEIR_TRY_ASSIGN(json, read_json(schema, reader));
  if (!reader.complete()) return error(Errc::corruption, "bytes are left behind a value");
  return json;
}

/// What has a time to live, without it.
Json without_time_to_live(const Schema& schema, Json value) {
  if (schema.name != timed_schema_name || !value.is_object() || !value.contains("value"))
    return value;
  return value["value"];
}

Json element(const Schema& schema, Json value) {
  return without_time_to_live(schema, std::move(value));
}

std::string key_text(const Json& key) {
  return key.is_string() ? key.get<std::string>() : key.dump();
}

/// The values of one keyed state, entry by entry.
class KeyedValues {
 public:
  explicit KeyedValues(const StateDeclaration& declaration) : declaration_(declaration) {}

  Status add(std::string_view entry, std::string_view bytes) {
    EntryKey parts;
    if (!read_entry_key(entry, fixed_width(*declaration_.key), parts))
      return error(Errc::corruption, "an entry's key is malformed");
    WEIR_TRY_ASSIGN(key, read_all(*declaration_.key, parts.key));
    std::string name = key_text(key);
    const Schema& schema = declaration_.value;
    switch (declaration_.kind) {
      case StateKind::map: {
        WEIR_TRY_ASSIGN(map_key, read_all(schema.children[0], parts.map_key));
        WEIR_TRY_ASSIGN(value, read_all(schema.children[1], bytes));
        json_[name][key_text(map_key)] = element(schema.children[1], std::move(value));
        return {};
      }
      case StateKind::timer: {
        ByteReader reader(parts.name_space);
        const auto time = reader.big_endian<std::uint64_t>() ^ (std::uint64_t{1} << 63);
        json_[name].push_back(static_cast<std::int64_t>(time));
        return {};
      }
      case StateKind::list: {
        Json list = Json::array();
        ByteReader reader(bytes);
        for (std::size_t before = 0; reader.remaining() > 0 && reader.remaining() != before;) {
          before = reader.remaining();
          WEIR_TRY_ASSIGN(value, read_json(schema, reader));
          list.push_back(element(schema, std::move(value)));
        }
        json_[name] = std::move(list);
        return {};
      }
      default: {
        ByteReader reader(bytes);
        WEIR_TRY_ASSIGN(value, read_json(schema, reader));
        if (!reader.complete()) {
          unreadable_ =
              "the key " + name + " holds several partial values, which only the job can fold";
          return {};
        }
        json_[name] = element(schema, std::move(value));
        return {};
      }
    }
  }

  void unreadable(std::string why) { unreadable_ = std::move(why); }
  StateValues take() { return {declaration_.kind, json_.dump(), std::move(unreadable_)}; }

 private:
  const StateDeclaration& declaration_;
  Json json_ = Json::object();
  std::string unreadable_;
};

/// Reads the states of one operator.
class OperatorReader {
 public:
  OperatorReader(CheckpointStorage& storage, const std::string& directory,
                 const SnapshotMetadata& metadata, const OperatorSnapshot& of)
      : storage_(storage), directory_(directory), metadata_(metadata), operator_(of) {}

  Result<StateValues> read(const StateDeclaration& declaration) {
    return is_keyed(declaration.kind) ? read_keyed(declaration) : read_elements(declaration);
  }

 private:
  Result<StateValues> read_keyed(const StateDeclaration& declaration) {
    KeyedValues values(declaration);
    for (const OperatorSubtaskSnapshot& subtask : operator_.subtasks) {
      for (const KeyedStateHandle& handle : subtask.keyed) {
        if (handle.state != declaration.name) continue;
        if (handle.format != StateFormat::canonical) {
          values.unreadable(
              "it is written in the form of its backend; a canonical savepoint can be read");
          continue;
        }
        WEIR_TRY_ASSIGN(source,
                        make_source(storage_, directory_, metadata_.locations[handle.location]));
        for (const KeyGroupExtent& extent : handle.groups)
          WEIR_TRY(read_extent(*source, extent, fixed_width(*declaration.key),
                               [&](std::string_view key, std::string_view value) {
                                 return values.add(key, value);
                               }));
      }
    }
    return values.take();
  }

  Result<StateValues> read_elements(const StateDeclaration& declaration) {
    Schema schema = declaration.value;
    if (declaration.kind == StateKind::operator_broadcast) {
      schema = {SchemaKind::structure, {}, {}, 0, declaration.value.children};
      for (std::size_t i = 0; i < schema.children.size(); ++i)
        schema.children[i].label = std::to_string(i);
    }
    Json json = Json::array();
    for (const OperatorSubtaskSnapshot& subtask : operator_.subtasks) {
      // All subtasks have the same broadcast state.
      if (declaration.kind == StateKind::operator_broadcast && !json.empty()) break;
      for (const OperatorStateHandle& handle : subtask.operator_states) {
        if (handle.state != declaration.name) continue;
        WEIR_TRY_ASSIGN(source,
                        make_source(storage_, directory_, metadata_.locations[handle.location]));
        WEIR_TRY_ASSIGN(bytes, source->read(handle.offset, handle.length));
        ByteReader reader(bytes);
        for (std::size_t before = 0; reader.remaining() > 0 && reader.remaining() != before;) {
          before = reader.remaining();
          WEIR_TRY_ASSIGN(value, read_json(schema, reader));
          json.push_back(std::move(value));
        }
      }
    }
    return StateValues{declaration.kind, json.dump(), {}};
  }

  CheckpointStorage& storage_;
  const std::string& directory_;
  const SnapshotMetadata& metadata_;
  const OperatorSnapshot& operator_;
};

}  // namespace

Result<SnapshotValues> read_snapshot_values(CheckpointStorage& storage,
                                            const std::string& directory) {
  WEIR_TRY_ASSIGN(metadata, verify_snapshot(storage, directory));
  SnapshotValues values;
  values.checkpoint = metadata.checkpoint.value;
  for (const OperatorSnapshot& one : metadata.operators) {
    OperatorReader reader(storage, directory, metadata, one);
    for (const StateDeclaration& declaration : one.states) {
      auto state = reader.read(declaration);
      if (!state)
        return error(state.error().code, directory + ": operator '" + one.uid + "', state '" +
                                             declaration.name + "': " + state.error().what);
      values.states[{one.uid, declaration.name}] = std::move(*state);
    }
  }
  return values;
}

}  // namespace weir
