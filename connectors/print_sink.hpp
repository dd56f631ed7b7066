#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "runtime/operator.hpp"
#include "state/schema.hpp"

namespace weir {

/// Appends `value` as people read it: strings as they are, other described types as JSON.
template <class T>
void append_text(const T& value, const Schema& schema, std::string& text) {
  if constexpr (std::convertible_to<const T&, std::string_view>) {
    text += std::string_view(value);
  } else {
    const std::string bytes = encode_value(value);
    ByteReader reader(bytes);
    value_or_throw(append_json(schema, reader, text));
  }
}

/// Prints one line per record on the standard output of the process that the subtask runs in; the
/// lines of a slice in one piece. A job that is restored prints some of them again.
///
///   orders.print();  // {"customer":"ann","amount":1.5}
///
/// Errors (as `OperatorError`): `io_error`.
template <class T>
class PrintSink final : public Operator {
 public:
  static_assert(Described<T> || std::convertible_to<const T&, std::string_view>,
                "to print a record, describe its type: WEIR_FIELDS(Type, members...)");
  [[nodiscard]] Status open(OperatorContext& context) override {
    streams_ = &context.standard_streams();
    if constexpr (Described<T>) schema_ = schema_of<T>();
    return {};
  }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    const auto& batch = static_cast<Batch<T>&>(any);
    text_.clear();
    while (cursor.next < cursor.limit) {
      append_text(batch.values[cursor.next++], schema_, text_);
      text_ += '\n';
    }
    value_or_throw(streams_->print(text_));
  }

 private:
  StandardStreams* streams_ = nullptr;
  Schema schema_;
  std::string text_;  ///< of one slice
};

}  // namespace weir
