/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emoji.c - which kinds of object there are: names from CLDR, bitmaps from the emoji font
 *
 * 1. CLDR's annotation file lists emoji in the order of Unicode's groups. The table
 *    `groups` names the first emoji of each group; people, signs, clocks, flags and
 *    places fall into groups without a category and are dropped.
 * 2. A name must be one or two words of letters, singular by its look. Pictures that fill
 *    their whole box (scene tiles, signs) or almost nothing of it are dropped.
 * 3. From what remains, kinds are chosen one by one: always the one that differs most
 *    from those chosen already, everyday nouns first. Kinds that share a word are refused.
 */
#include <ft2build.h>
#include FT_FREETYPE_H
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/scenes/scenes_int.h"

#define NAMES_BYTES_MAX (16u << 20)
#define NAME_MAX_BYTES 24
#define THUMB 12                /* a look is THUMB x THUMB x (red, green, blue, alpha) */
#define LOOK (THUMB * THUMB * 4)

static const char default_font[] = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
static const char default_names[] = "/usr/share/unicode/cldr/common/annotations/en.xml";

// clang-format off
static const struct { uint32_t first; const char *category; } groups[] = {
    { 0x1F435, "animal" },     { 0x1F490, "plant" },      { 0x1F347, "fruit" },
    { 0x1F951, "vegetable" },  { 0x1F35E, "food" },       { 0x1F980, "seafood" },
    { 0x1F366, "sweet" },      { 0x1F37C, "drink" },      { 0x1F962, "kitchenware" },
    { 0x1F30D, NULL },         { 0x1F682, "vehicle" },    { 0x1F6CE, NULL },
    { 0x1F311, "sky" },        { 0x1F383, "party" },      { 0x1F396, "award" },
    { 0x26BD,  "sport" },      { 0x1F3AF, "game" },       { 0x2660, NULL },
    { 0x1F3A8, "craft" },      { 0x1F453, "clothing" },   { 0x1F507, "sound" },
    { 0x1F3B7, "instrument" }, { 0x1F4F1, "device" },     { 0x1F4D4, "paper" },
    { 0x1F4B0, "money" },      { 0x2709,  "mail" },       { 0x270F, "office" },
    { 0x1F512, "tool" },       { 0x2697,  "science" },    { 0x1F489, "medicine" },
    { 0x1F6AA, "household" },  { 0x1F6AC, NULL },         { 0x1F3E7, NULL },
};

static const char *const everyday[] = {
    "airplane", "ambulance", "ant", "automobile", "avocado", "axe", "backpack", "bagel",
    "balloon", "banana", "baseball", "basket", "basketball", "bathtub", "bear", "bell",
    "bicycle", "bird", "bread", "briefcase", "broccoli", "broom", "bus", "butterfly",
    "cactus", "camel", "camera", "candle", "canoe", "carrot", "cat", "chair", "chicken",
    "cookie", "cow", "crab", "crocodile", "croissant", "crown", "cucumber", "deer", "dog",
    "dolphin", "door", "doughnut", "dragon", "dress", "drum", "duck", "eagle", "egg",
    "eggplant", "elephant", "envelope", "fire", "fish", "flamingo", "fox", "frog", "garlic",
    "giraffe", "goat", "gorilla", "guitar", "hamburger", "hammer", "handbag", "hedgehog",
    "helicopter", "horse", "kangaroo", "key", "kite", "koala", "ladder", "laptop", "lemon",
    "leopard", "lion", "lipstick", "lizard", "lobster", "lollipop", "magnet", "microphone",
    "monkey", "motorcycle", "mouse", "mushroom", "necktie", "notebook", "octopus", "onion",
    "owl", "panda", "parrot", "peach", "pear", "pencil", "penguin", "pie", "pig",
    "pineapple", "pizza", "popcorn", "potato", "pretzel", "printer", "rabbit", "radio",
    "ribbon", "ring", "rocket", "rooster", "rose", "sailboat", "sandwich", "satellite",
    "saxophone", "scarf", "scorpion", "shark", "shield", "ship", "shower", "shrimp",
    "skateboard", "snail", "snake", "snowflake", "snowman", "spider", "sponge", "spoon",
    "star", "strawberry", "sunflower", "swan", "taco", "tangerine", "taxi", "teapot",
    "telephone", "telescope", "television", "thermometer", "ticket", "tiger", "toilet",
    "tomato", "tractor", "train", "trophy", "trumpet", "tulip", "turkey", "turtle",
    "umbrella", "unicorn", "violin", "waffle", "watermelon", "whale", "zebra",
};
// clang-format on

enum tier { TIER_EVERYDAY, TIER_ONE_WORD, TIER_TWO_WORDS, TIERS };

struct candidate {
    const char *name, *category;
    uint32_t code;
    enum tier tier;
    struct sea_sprite big;      /* trimmed bitmap of the font */
    unsigned char look[LOOK];
    int64_t distance;           /* to the nearest chosen kind */
    bool out;                   /* chosen, or shares a word with a chosen one */
};

/* Decodes text when it is exactly one UTF-8 character, else returns 0. */
static uint32_t
single_code_point(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code;
    size_t need;

    if (len == 0 || at[0] < 0x80)
        return 0;
    need = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (need != len)
        return 0;
    code = at[0] & (0xFFu >> (need + 1));
    for (size_t i = 1; i < need; i++)
        code = code << 6 | (at[i] & 0x3Fu);
    return code;
}

static bool
word_ends(const char *name, size_t len, const char *tail)
{
    size_t n = strlen(tail);

    return len >= n && memcmp(name + len - n, tail, n) == 0;
}

/* One or two words of at least three small letters; no plural, no activity. */
static bool
name_is_usable(const char *name, size_t len, int *words)
{
    size_t start = 0;

    *words = 0;
    if (len >= NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && name[i] >= 'a' && name[i] <= 'z')
            continue;
        if ((i < len && name[i] != ' ') || i - start < 3)
            return false;
        if (i - start > 4 && word_ends(name + start, i - start, "ing"))
            return false;
        start = i + 1;
        ++*words;
    }
    if (*words > 2)
        return false;
    return name[len - 1] != 's' || word_ends(name, len, "us") || word_ends(name, len, "ss");
}

static bool
name_is_everyday(const char *name)
{
    for (size_t i = 0; i < sizeof(everyday) / sizeof(everyday[0]); i++)
        if (strcmp(everyday[i], name) == 0)
            return true;
    return false;
}

/* Reads the short names in file order; *out has *count entries without bitmaps. */
static enum sea_status
read_names(const char *path, struct sea_arena *arena, struct candidate **out, size_t *count,
           struct sea_err *err)
{
    static const char open[] = "<annotation cp=\"", middle[] = "\" type=\"tts\">";
    struct candidate *list = NULL;
    const char *category = NULL;
    enum sea_status status;
    size_t used = 0, room = 0;
    struct sea_buf text;

    sea_buf_init(&text, NAMES_BYTES_MAX);
    status = sea_file_read(path, &text, err);
    if (status) {
        sea_hint(err, "Install the package unicode-cldr-core, which holds the names of emoji.");
        goto out;
    }
    for (const char *at = text.data; (at = strstr(at, open)) != NULL;) {
        const char *cp = at + sizeof(open) - 1, *quote = strchr(cp, '"'), *name, *end;
        uint32_t code;
        int words;

        at = cp;
        if (!quote || strncmp(quote, middle, sizeof(middle) - 1) != 0)
            continue;
        name = quote + sizeof(middle) - 1;
        end = strchr(name, '<');
        code = single_code_point(cp, (size_t)(quote - cp));
        if (!end || !code)
            continue;
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
            if (groups[i].first == code)
                category = groups[i].category;
        if (!category || !name_is_usable(name, (size_t)(end - name), &words))
            continue;
        if (used == room) {
            room = room ? room * 2 : 1024;
            list = sea_xrealloc(list, room, sizeof(*list));
        }
        list[used] = (struct candidate){
            .name = sea_arena_strndup(arena, name, (size_t)(end - name)),
            .category = category, .code = code, .distance = INT64_MAX,
        };
        list[used].tier = name_is_everyday(list[used].name) ? TIER_EVERYDAY
                          : words == 1                      ? TIER_ONE_WORD
                                                            : TIER_TWO_WORDS;
        used++;
    }
    if (used == 0)
        status = sea_fail(err, SEA_E_FORMAT,
                          "file \"%s\" names 0 emoji, expected CLDR annotations", path);
out:
    sea_buf_release(&text);
    *out = list;
    *count = used;
    return status;
}

/* Copies the part of a BGRA bitmap that is not empty. False when it is all empty. */
static bool
trim_bitmap(const FT_Bitmap *bitmap, struct sea_arena *arena, struct sea_sprite *to)
{
    int w = (int)bitmap->width, h = (int)bitmap->rows;
    int left = w, right = -1, top = h, bottom = -1;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            if (bitmap->buffer[y * bitmap->pitch + 4 * x + 3] > 16) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y;
            }
    if (right < 0)
        return false;
    to->w = right - left + 1;
    to->h = bottom - top + 1;
    to->rgba = sea_arena_alloc(arena, (size_t)to->w * (size_t)to->h, 4);
    for (int y = 0; y < to->h; y++)
        for (int x = 0; x < to->w; x++) {
            const unsigned char *from =
                bitmap->buffer + (y + top) * bitmap->pitch + 4 * (x + left);
            unsigned char *pixel = to->rgba + 4 * (y * to->w + x);

            pixel[0] = from[2];
            pixel[1] = from[1];
            pixel[2] = from[0];
            pixel[3] = from[3];
        }
    return true;
}

/* A sprite fits in box x box and keeps its proportions. */
static void
fit(const struct sea_sprite *big, int box, struct sea_sprite *small)
{
    int longer = big->w > big->h ? big->w : big->h;

    small->w = (2 * big->w * box + longer) / (2 * longer);
    small->h = (2 * big->h * box + longer) / (2 * longer);
    small->w = small->w < 1 ? 1 : small->w;
    small->h = small->h < 1 ? 1 : small->h;
}

/* Keeps shapes that are neither a thin line nor a full tile, and notes their look: the
 * sprite in the middle of a grey thumbnail. */
static bool
take_look(struct candidate *cand)
{
    unsigned char small_rgba[LOOK];
    struct sea_sprite small = { .rgba = small_rgba };
    int64_t filled = 0, area = (int64_t)cand->big.w * cand->big.h;
    int longer = cand->big.w > cand->big.h ? cand->big.w : cand->big.h;
    int left, top;

    for (int64_t i = 0; i < area; i++)
        filled += cand->big.rgba[4 * i + 3] > 127;
    if (filled * 100 > area * 95 || filled * 100 < (int64_t)longer * longer * 30)
        return false;
    fit(&cand->big, THUMB, &small);
    sea_sprite_shrink(&cand->big, &small);
    left = (THUMB - small.w) / 2;
    top = (THUMB - small.h) / 2;
    for (int i = 0; i < THUMB * THUMB; i++) {
        cand->look[4 * i] = cand->look[4 * i + 1] = cand->look[4 * i + 2] = 128;
        cand->look[4 * i + 3] = 0;
    }
    for (int y = 0; y < small.h; y++)
        for (int x = 0; x < small.w; x++) {
            const unsigned char *from = small.rgba + 4 * (y * small.w + x);
            unsigned char *to = cand->look + 4 * ((y + top) * THUMB + x + left);

            for (int c = 0; c < 3; c++)
                to[c] = (unsigned char)(from[c] + 128 * (255 - from[3]) / 255);
            to[3] = from[3];
        }
    return true;
}

/* Renders all candidates; those without a usable bitmap are marked out. */
static enum sea_status
read_bitmaps(const char *path, struct candidate *list, size_t count, struct sea_arena *arena,
             struct sea_err *err)
{
    FT_Library library = NULL;
    FT_Face face = NULL;
    enum sea_status status = SEA_OK;

    if (!sea_file_exists(path)) {
        status = sea_fail(err, SEA_E_MISSING, "font \"%s\" does not exist", path);
        sea_hint(err, "Install the package fonts-noto-color-emoji.");
        return status;
    }
    if (FT_Init_FreeType(&library)) {
        status = sea_fail(err, SEA_E_INTERNAL, "could not start FreeType");
        goto out;
    }
    if (FT_New_Face(library, path, 0, &face) || face->num_fixed_sizes < 1 ||
        FT_Select_Size(face, 0)) {
        status = sea_fail(err, SEA_E_FORMAT, "font \"%s\" has no colour bitmaps (CBDT)", path);
        sea_hint(err, "Use the bitmap version of Noto Color Emoji that Debian packages.");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        FT_UInt glyph = FT_Get_Char_Index(face, list[i].code);
        const FT_Bitmap *bitmap = &face->glyph->bitmap;

        list[i].out = true;
        if (glyph == 0 || FT_Load_Glyph(face, glyph, FT_LOAD_COLOR))
            continue;
        if (bitmap->pixel_mode != FT_PIXEL_MODE_BGRA || bitmap->width < SEA_SPRITE_MAX ||
            bitmap->rows < SEA_SPRITE_MAX)
            continue;
        if (trim_bitmap(bitmap, arena, &list[i].big) && take_look(&list[i]))
            list[i].out = false;
    }
out:
    if (face)
        FT_Done_Face(face);
    if (library)
        FT_Done_FreeType(library);
    return status;
}

static int64_t
look_distance(const struct candidate *a, const struct candidate *b)
{
    int64_t sum = 0;

    for (int i = 0; i < LOOK; i++) {
        int d = a->look[i] - b->look[i];

        sum += (int64_t)d * d;
    }
    return sum;
}

static bool
names_share_word(const char *a, const char *b)
{
    while (*a) {
        size_t n = strcspn(a, " ");

        for (const char *at = b; *at;) {
            size_t m = strcspn(at, " ");

            if (n == m && memcmp(a, at, n) == 0)
                return true;
            at += m + (at[m] == ' ');
        }
        a += n + (a[n] == ' ');
    }
    return false;
}

static struct candidate *
most_different(struct candidate *list, size_t count, enum tier tier)
{
    struct candidate *best = NULL;

    for (size_t i = 0; i < count; i++)
        if (!list[i].out && list[i].tier == tier && (!best || list[i].distance > best->distance))
            best = &list[i];
    return best;
}

/* Farthest-point choice; the first everyday kind of the file starts it. Returns how many. */
static int
choose(struct candidate *list, size_t count, int wanted, struct candidate **chosen)
{
    int n = 0;

    for (enum tier tier = TIER_EVERYDAY; tier < TIERS && n < wanted; tier++)
        while (n < wanted) {
            struct candidate *best = most_different(list, count, tier);

            if (!best)
                break;
            chosen[n++] = best;
            for (size_t i = 0; i < count; i++) {
                int64_t d = look_distance(best, &list[i]);

                list[i].distance = d < list[i].distance ? d : list[i].distance;
                if (names_share_word(best->name, list[i].name))
                    list[i].out = true;
            }
        }
    return n;
}

static int
by_name(const void *a, const void *b)
{
    const struct candidate *const *one = a, *const *two = b;

    return strcmp((*one)->name, (*two)->name);
}

static void
make_kind(const struct candidate *from, struct sea_arena *arena, struct sea_kind *kind)
{
    kind->name = from->name;
    kind->category = from->category;
    kind->code = from->code;
    for (int s = 0; s < SEA_SPRITE_SIZES; s++) {
        struct sea_sprite *sprite = &kind->sprite[s];

        fit(&from->big, SEA_SPRITE_MIN + s, sprite);
        sprite->rgba = sea_arena_alloc(arena, (size_t)sprite->w * (size_t)sprite->h, 4);
        sea_sprite_shrink(&from->big, sprite);
    }
}

enum sea_status
sea_kinds_load(const struct sea_scenes_options *options, struct sea_arena *arena,
               struct sea_kinds *kinds, struct sea_err *err)
{
    const char *names = options->names ? options->names : default_names;
    const char *font = options->font ? options->font : default_font;
    struct candidate *list = NULL, **chosen = NULL;
    enum sea_status status;
    size_t count;
    int found;

    *kinds = (struct sea_kinds){ 0 };
    status = read_names(names, arena, &list, &count, err);
    if (status)
        goto out;
    status = read_bitmaps(font, list, count, arena, err);
    if (status)
        goto out;
    chosen = sea_xcalloc((size_t)options->kinds, sizeof(struct candidate *));
    found = choose(list, count, options->kinds, chosen);
    if (found < options->kinds) {
        status = sea_fail(err, SEA_E_CONFIG, "%d kinds of object were asked for, there are %d",
                          options->kinds, found);
        sea_hint(err, "Give --kinds a number from 12 to %d.", found);
        goto out;
    }
    qsort(chosen, (size_t)found, sizeof(struct candidate *), by_name);
    kinds->items = sea_arena_alloc(arena, (size_t)found, sizeof(*kinds->items));
    kinds->count = found;
    for (int i = 0; i < found; i++)
        make_kind(chosen[i], arena, &kinds->items[i]);
out:
    free(chosen);
    free(list);
    return status;
}
