// Publishes with the npm package ntfy: node publish.mjs '{"server": …}' prints the server's answer.
import {publish} from 'ntfy';

try {
  console.log(JSON.stringify(await publish(JSON.parse(process.argv[2]))));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
