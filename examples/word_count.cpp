// Counts the words of text files: maximal runs of ASCII letters, lowercased. Each word comes out once,
// with its count, when the input has ended.
//
//   weir run word_count.so --input FILE|DIRECTORY|- --output DIRECTORY [--rate LINES_PER_SECOND]
//
// --input may repeat; `-` is standard input, which cannot be read again and so does not go with -s.
#include <algorithm>
#include <cstdint>
#include <string>

#include <weir/weir.hpp>

namespace {

using namespace weir;

struct WordCount {
  std::string word;
  std::int64_t count = 0;
};
WEIR_FIELDS(WordCount, word, count)

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

void split_into_words(const std::string& line, Collector<std::string>& out) {
  auto begin = line.begin();
  while ((begin = std::find_if(begin, line.end(), is_letter)) != line.end()) {
    const auto end = std::find_if_not(begin, line.end(), is_letter);
    std::string word(begin, end);
    for (char& c : word)
      c = static_cast<char>(c | 0x20);  // ASCII letters differ from capitals in this bit
    out.collect(std::move(word));
    begin = end;
  }
}

struct CountWords final : KeyedProcessFunction<std::string, std::string, WordCount> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<std::int64_t>{"count"});
  }
  void process_element(const std::string&, Context&, Collector<WordCount>&) override {
    ++count_.mutable_value();
  }
  void on_end_of_input(const std::string& word, Context&, Collector<WordCount>& out) {
    out.collect({word, *count_.value()});
  }
  ValueState<std::int64_t> count_;
};

}  // namespace

WEIR_JOB(word_count) {
  auto inputs = env.parameters().all("input");
  const auto output = env.parameters().required("output");
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));

  const bool standard_input = std::erase(inputs, "-") > 0;
  if (standard_input && !inputs.empty())
    env.parameters().fail("--input - stands for standard input and goes with no other --input");

  auto lines = standard_input ? env.read_standard_input(rate) : env.read_text(inputs, rate);
  lines.uid("lines")
      .flat_map<std::string>(split_into_words)
      .uid("words")
      .key_by([](const std::string& word) { return word; })
      .process(CountWords{})
      .uid("count")
      .write_files(output,
                   [](const WordCount& one) { return one.word + '\t' + std::to_string(one.count); })
      .uid("output");
}
