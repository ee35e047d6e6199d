// What a registry stores for a schema: one question a line on stdin, one verdict a line on stdout.
//
// A question is {"schemaType","schema","references":[text,...]}, the references' texts in the order in which they
// are resolved. A verdict is {"text":...} or {"refused":why}; that of a JSON schema also says what is stored when it is
// normalised, {"normal":...}. It does what the registry's AvroSchema and JsonSchema do
// when a schema is looked up, with the same libraries, and nothing else.

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.Schema;

public final class Oracle {
  private static final ObjectMapper LINES = new ObjectMapper();
  private static final ObjectMapper SCHEMAS = schemas(JsonNodeFactory.withExactBigDecimals(true));
  private static final ObjectMapper SORTED = schemas(new Sorted());

  private static final class Sorted extends JsonNodeFactory {
    Sorted() {
      super(true);
    }

    @Override
    public ObjectNode objectNode() {
      return new ObjectNode(this, new TreeMap<>());
    }
  }

  private static ObjectMapper schemas(JsonNodeFactory factory) {
    ObjectMapper mapper = JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();
    mapper.enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);
    mapper.setNodeFactory(factory);
    return mapper;
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode question = LINES.readTree(line);
      List<String> references = new ArrayList<>();
      question.path("references").forEach(text -> references.add(text.textValue()));
      ObjectNode verdict = LINES.createObjectNode();
      try {
        String text = question.get("schema").textValue();
        boolean isJson = question.get("schemaType").textValue().equals("JSON");
        verdict.put("text", isJson ? json(text) : avro(text, references));
        if (isJson) {
          verdict.put("normal", SORTED.writeValueAsString(SORTED.readTree(verdict.get("text").textValue())));
        }
      } catch (Throwable refusal) {
        verdict.put("refused", String.valueOf(refusal.getMessage()).lines().findFirst().orElse(""));
      }
      out.println(LINES.writeValueAsString(verdict));
    }
    out.flush();
  }

  private static String json(String text) throws Exception {
    JsonNode tree = SCHEMAS.readTree(text);
    if (!tree.isObject() && !tree.isBoolean()) {
      throw new IllegalArgumentException("no schema");
    }
    return SCHEMAS.writeValueAsString(tree);
  }

  private static String avro(String text, List<String> references) throws Exception {
    Schema.Parser parser = parser();
    references.forEach(parser::parse);
    Schema schema = parser.parse(text);
    checkNames(schema, new IdentityHashMap<>());
    Schema.Parser again = parser();
    List<Schema> known = new ArrayList<>();
    references.forEach(reference -> known.add(again.parse(reference)));
    return schema.toString(known, false);
  }

  /** Releases before 1.12 know no validators, and check the names themselves. */
  private static Schema.Parser parser() throws Exception {
    Schema.Parser parser;
    try {
      Class<?> validator = Class.forName("org.apache.avro.NameValidator");
      parser = Schema.Parser.class.getConstructor(validator).newInstance(validator.getField("NO_VALIDATION").get(null));
    } catch (ClassNotFoundException older) {
      parser = new Schema.Parser();
    }
    parser.setValidateDefaults(false);
    return parser;
  }

  private static void checkNames(Schema schema, Map<Schema, Boolean> seen) {
    if (seen.put(schema, true) != null) {
      return;
    }
    switch (schema.getType()) {
      case RECORD:
        checkName(schema.getName());
        for (Schema.Field field : schema.getFields()) {
          checkName(field.name());
          checkNames(field.schema(), seen);
        }
        break;
      case ENUM:
        checkName(schema.getName());
        schema.getEnumSymbols().forEach(Oracle::checkName);
        break;
      case FIXED:
        checkName(schema.getName());
        break;
      case ARRAY:
        checkNames(schema.getElementType(), seen);
        break;
      case MAP:
        checkNames(schema.getValueType(), seen);
        break;
      case UNION:
        schema.getTypes().forEach(branch -> checkNames(branch, seen));
        break;
      default:
        break;
    }
  }

  private static void checkName(String name) {
    if (!name.matches("[A-Za-z_][A-Za-z0-9_]*")) {
      throw new IllegalArgumentException("Illegal name: " + name);
    }
  }
}
