#!/usr/bin/env python3
"""Writes Tests/ApusTokenizerTests/Fixtures: small tokenizers and what Hugging Face `tokenizers` makes of texts.

Each folder holds a tokenizer.json, trained here on texts made here, and cases.jsonl, one object a line: a text, its
ids with and without special tokens, the texts they decode to, and what some random ids decode to. Everything
follows from the seed.

Needs: pip install tokenizers
Run:   python3 Tools/make_tokenizer_fixtures.py [--output DIR] [--cases N] [--seed N]
"""
import argparse
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTION,
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTION,
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
          r"|\s*[\r\n]|\s+(?!\S)|\s")
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
LOOK = (r"(?<=[a-z])(?=[A-Z])|(?<!\d)\d{2,3}?(?=\d|\b)|\b\w+?\b|(?>a|ab)c|x*y+?z{2,}|\R|\h{4}|[[:punct:]]"
        r"|[^\W\d_]{1,4}|(?m:.)|^\s+|$")

WORDS = """the of and to in that he shall unto for I his a they be is him LORD not them it with all thou thy was God
don't can't we'll they've I'm he'd DON'T HE'S I'Ve naïve café résumé über straße Привет мир как дела это текст 你好 世界
中文 字符 日本語 テスト こんにちは 안녕하세요 세계 مرحبا العالم שלום עולם नमस्ते दुनिया สวัสดี 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 😀 def return self.x += 1;
{} [] () == != -> // /* */ <html> </s> 123 4567 3.14159 1,000,000 0x1F ² ½ Ⅷ é ñ ﬁ Å ﷺ ｶﾞ ① ㎏ İ ǆ ſs 'ſ ẞ camelCase""".split()
SPACES = [" "] * 5 + ["  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "        ", "\u00a0", "\u3000", "", "",
                      "\u200b", "\u200d", "\u2028", "\x85", "\n   \n"]
SIGNS = """. , ! ? ... -- ' " ( ) : ; _ - $ € ™ 's 'S ’s … # @ * ▁ \\ ` ~ ^ | <|endoftext|> <s> </s> <|im_start|> [MASK]
<0x0A> <unk> tok yesterday""".split()
PLANES = [(1, 0x2FF), (0x300, 0x36F), (0x370, 0x2FFF), (0x3000, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x1FFFF), (1, 127)]


def text(rng, length=None):
    """A text of all kinds of words, signs, digits, characters and white space."""
    parts = []
    for _ in range(length or rng.randint(0, 16)):
        kind = rng.random()
        if kind < 0.55:
            parts.append(rng.choice(WORDS))
        elif kind < 0.7:
            parts.append(rng.choice(SIGNS))
        elif kind < 0.8:
            parts.append(str(rng.randint(0, 10 ** rng.randint(1, 12))))
        elif kind < 0.86:
            parts.append(chr(rng.randint(*rng.choice(PLANES))))
        elif kind < 0.9:
            parts.append("".join(rng.choice("abcdefghijklmnopqrstuvwxyzABC") for _ in range(rng.randint(1, 50))))
        elif kind < 0.92:
            parts.append(rng.choice("a \n.é1世") * rng.randint(2, 80))
        parts.append(rng.choice(SPACES))
    return "".join(parts)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert=invert)


def edited(tokenizer, **changes):
    """The tokenizer with some keys of its file replaced."""
    file = json.loads(tokenizer.to_str())
    file["model"].update(changes.pop("model", {}))
    file.update(changes)
    return Tokenizer.from_str(json.dumps(file))


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(corpus, *steps, size=700, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps)) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"],
        show_progress=False))
    return tokenizer


LLAMA2_DECODER = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def sentencepiece(corpus, pre=None, normalizer=None, decoder=LLAMA2_DECODER, fallback=True, size=700, **model):
    """A tokenizer as those converted from SentencePiece; without `pre` a whole text is one piece."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>", fuse_unk=True, **model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre or pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"]
    tokens = special + ["<0x%02X>" % i for i in range(256)] if fallback else special
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, special_tokens=tokens, limit_alphabet=150, show_progress=False, **model))
    added = [t for t in json.loads(tokenizer.to_str())["added_tokens"] if t["content"] in special]
    tokenizer = edited(tokenizer, added_tokens=added, **({} if pre else {"pre_tokenizer": None}))
    tokenizer.decoder = decoder
    return tokenizer


def tokenizers(corpus):
    metaspace = pre_tokenizers.Metaspace
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])

    gpt2 = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False))
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    yield "gpt2", gpt2
    merges = [" ".join(m) for m in json.loads(gpt2.to_str())["model"]["merges"]]
    yield "gpt2-truncated", edited(gpt2, model={"merges": merges}, truncation={
        "direction": "Right", "max_length": 9, "strategy": "OnlyFirst", "stride": 0})

    roberta = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=True), size=500)
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    yield "roberta", roberta

    llama3 = byte_level(corpus, split(LLAMA3), BYTES)
    llama3.add_special_tokens(["<s>", "<|im_start|>"])
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                      special_tokens=[("<s>", llama3.token_to_id("<s>"))])])
    yield "llama3", edited(llama3, model={"ignore_merges": True})

    qwen2 = byte_level(corpus, split(QWEN2), BYTES, normalizer=normalizers.NFC())
    qwen2.add_special_tokens(["<|im_start|>"])
    qwen2.add_tokens([AddedToken("tok", normalized=True), AddedToken("yesterday", single_word=True),
                      AddedToken("[MASK]", lstrip=True, rstrip=True), AddedToken("  ", normalized=False)])
    yield "qwen2", qwen2
    yield "lowercase", edited(qwen2, normalizer={"type": "Sequence", "normalizers": [
        {"type": "Lowercase"}, {"type": "NFKC"}]})

    yield "deepseek", byte_level(corpus, *map(split, DEEPSEEK), BYTES)
    yield "o200k", byte_level(corpus, split(O200K, "removed", True), BYTES)
    yield "cl100k", byte_level(corpus, split(CL100K), BYTES)
    yield "falcon", byte_level(
        corpus, pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]"), size=500)
    yield "look-around", byte_level(corpus, split(LOOK), BYTES, size=400)
    yield "byte-normalizer", byte_level(corpus, split(r"\s+|\d"), normalizer=normalizers.ByteLevel(), size=400)
    for behavior in ["removed", "merged_with_previous", "merged_with_next", "contiguous"]:
        yield "split-" + behavior.replace("_", "-"), byte_level(
            corpus, split(r"[aeiou ]|\d+", behavior, behavior == "contiguous"), BYTES, size=300)

    llama2 = sentencepiece(corpus, normalizer=prepend)
    llama2.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    yield "llama2", llama2
    yield "llama2-unknown", edited(
        sentencepiece(corpus, normalizer=prepend, fallback=False), model={"fuse_unk": False})
    first = sentencepiece(corpus, metaspace(prepend_scheme="first", split=False))
    first.add_special_tokens(["<|im_start|>"])
    yield "metaspace-first", first
    yield "metaspace-always", sentencepiece(
        corpus, metaspace(prepend_scheme="always"), decoder=decoders.Metaspace(prepend_scheme="always"))
    yield "metaspace-strip", sentencepiece(
        corpus, metaspace(prepend_scheme="first"), decoder=decoders.Metaspace(prepend_scheme="first"),
        normalizer=normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(True, False),
                                         normalizers.Replace(Regex(" {2,}"), " ")]))
    gemma = sentencepiece(
        corpus, pre_tokenizers.Split(" ", "merged_with_previous"), normalizer=normalizers.Replace(" ", "▁"),
        decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))
    gemma.add_tokens([AddedToken(s, normalized=False) for s in ("\n\n", "\n\n\n", "   ")])
    yield "gemma", gemma
    yield "end-of-word", sentencepiece(
        corpus, pre_tokenizers.BertPreTokenizer(), fallback=False, decoder=decoders.BPEDecoder("</w>"),
        normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]),
        end_of_word_suffix="</w>")
    yield "continuing", sentencepiece(
        corpus, pre_tokenizers.Whitespace(), normalizer=normalizers.NFKD(), fallback=False,
        decoder=decoders.WordPiece("##", True), continuing_subword_prefix="##")
    fused = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("an", "b"),
                               decoders.Strip("T", 1, 0)])
    yield "fused", sentencepiece(corpus, pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True)]), decoder=fused)
    yield "padded", edited(sentencepiece(corpus, pre_tokenizers.Whitespace()), decoder=None, truncation={
        "direction": "Left", "max_length": 12, "strategy": "LongestFirst", "stride": 0}, padding={
            "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "<unk>"})


def case(rng, tokenizer):
    string = text(rng)
    ids = tokenizer.encode(string).ids
    raw = tokenizer.encode(string, add_special_tokens=False).ids
    scattered = [rng.randrange(tokenizer.get_vocab_size() + 5) for _ in range(rng.randint(1, 10))]
    return {
        "text": string, "ids": ids, "raw": raw, "decoded": tokenizer.decode(ids) if ids else "",
        "full": tokenizer.decode(raw, skip_special_tokens=False) if raw else "", "scattered": scattered,
        "scattered_decoded": tokenizer.decode(scattered, skip_special_tokens=False)}


def main():
    default = os.path.join(os.path.dirname(__file__), "..", "Tests", "ApusTokenizerTests", "Fixtures")
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=default)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    corpus = [text(rng, 60) for _ in range(300)]
    for name, tokenizer in tokenizers(corpus):
        folder = os.path.join(arguments.output, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            f.write(tokenizer.to_str(pretty=False) + "\n")
        with open(os.path.join(folder, "cases.jsonl"), "w", encoding="utf-8") as f:
            for _ in range(arguments.cases):
                f.write(json.dumps(case(rng, tokenizer), ensure_ascii=False) + "\n")


main()
